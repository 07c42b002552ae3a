"""The keys under which an application and a request hold the service's objects.

Only type checkers import the types here, because most of their modules import this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from service.pictures.caching.picture_cache import PictureCache
    from service.pictures.contact_pictures import ContactPictures
    from service.pictures.ports import Renderer, WritableStore
    from service.pictures.writes import Writes
    from service.protocol.languages import Languages
    from service.web.cors import Cors
    from service.web.metrics import Metrics
    from service.web.policy import ResponsePolicy
    from service.web.readiness import Readiness
    from service.web.repeats import Repeats
    from service.web.security import Authenticator, Requester
    from service.web.sharing import SharingHeaders
    from service.web.writes import UploadLimits

AUTHENTICATOR: web.AppKey[Authenticator] = web.AppKey("authenticator")
CACHE: web.AppKey[PictureCache] = web.AppKey("cache")
CORS: web.AppKey[Cors] = web.AppKey("cors")
LANGUAGES: web.AppKey[Languages] = web.AppKey("languages")
METRICS: web.AppKey[Metrics] = web.AppKey("metrics")
PICTURES: web.AppKey[ContactPictures] = web.AppKey("pictures")
READINESS: web.AppKey[Readiness] = web.AppKey("readiness")
RENDERER: web.AppKey[Renderer] = web.AppKey("renderer")
REPEATS: web.AppKey[Repeats] = web.AppKey("repeats")
RESPONSE_POLICY: web.AppKey[ResponsePolicy] = web.AppKey("response_policy")
SHARING: web.AppKey[SharingHeaders] = web.AppKey("sharing")
STORE: web.AppKey[WritableStore] = web.AppKey("store")
UPLOAD_LIMITS: web.AppKey[UploadLimits] = web.AppKey("upload_limits")
WRITES: web.AppKey[Writes] = web.AppKey("writes")

REQUESTER: web.RequestKey[Requester] = web.RequestKey("requester")
"""The requester of an authorized request; absent if authorization failed or is not needed."""
