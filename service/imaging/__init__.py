"""Reading, rendering and drawing pictures. This package does not import HTTP, stores or settings."""
