"""The targets by name. A new one is one row."""

from __future__ import annotations

from collections.abc import Mapping

from tools.fuzz import cached, frames, headers, pictures, requests
from tools.fuzz.mutants import mutant
from tools.fuzz.target import Target

TARGETS: Mapping[str, Target] = {
    "accept": Target(headers.accept, headers.accept_corpus),
    "query": Target(headers.query, headers.query_corpus),
    "fields": Target(headers.fields, headers.fields_corpus),
    "signatures": Target(headers.signatures, headers.signatures_corpus),
    "credentials": Target(headers.credentials, headers.credentials_corpus),
    "request": Target(requests.request, requests.request_corpus),
    "record": Target(cached.record, cached.record_corpus),
    "entry": Target(cached.entry, cached.entry_corpus),
    "replies": Target(cached.replies, cached.replies_corpus),
    "frame": Target(frames.frame, frames.frame_corpus),
    "container": Target(pictures.container, pictures.pictures, mutant),
    "picture": Target(pictures.picture, pictures.pictures, mutant),
}
