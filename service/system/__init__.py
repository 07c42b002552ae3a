"""Files, locks, threads and processes of the operating system. This package imports no other part of the service."""
