"""The composition: settings in, adapters made and connected, an application out."""
