"""Verifiers of credentials: a users' file, SuperOffice, and keys of JSON web tokens. Only `schemes` imports them."""
