"""The adapters of the shared cache: Redis or Valkey, and a private server."""
