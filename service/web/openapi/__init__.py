"""The description of the interface, `/openapi.json` (OpenAPI 3.1)."""
