"""Adapters that tell whether a credential is good: a users' file, JSON web tokens, SuperOffice itself."""
