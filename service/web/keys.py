"""The keys under which an application holds the objects of the service, for the handlers.

The modules of these objects do not import this one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network

from aiohttp import web

from service.pictures.caching.picture_cache import PictureCache
from service.pictures.contact_pictures import ContactPictures
from service.pictures.ports import Admission, Renderer, WritableStore
from service.pictures.thumb_hashes import ThumbHashes
from service.pictures.trace import NewTrace
from service.pictures.writes import Writes
from service.protocol.languages import Languages
from service.web.access_log import AccessLog
from service.web.cors import Cors
from service.web.direct import DirectAnswers
from service.web.hosts import Hosts
from service.web.metrics import Metrics
from service.web.policy import ResponsePolicy, UploadLimits
from service.web.readiness import Readiness
from service.web.repeats import Repeats
from service.web.request_log import RefusalLog
from service.web.security import Authenticator
from service.web.sharing import SharingHeaders
from service.web.streaming import BodySender

AFTER_RELOAD = web.AppKey("after_reload", list[Callable[[], None]])
"""Functions that are called after a reload, and when operators have changed the level of the log.

With several processes, a reload replaces them, and does not call these functions.
"""
ACCESS_LOG = web.AppKey("access_log", AccessLog)
ADMISSION = web.AppKey("admission", Admission)
AUTHENTICATOR = web.AppKey("authenticator", Authenticator)
BODIES = web.AppKey("bodies", BodySender)
CACHE = web.AppKey("cache", PictureCache)
CORS = web.AppKey("cors", Cors)
DIRECT = web.AppKey("direct", DirectAnswers)
HOSTS = web.AppKey("hosts", Hosts)
LANGUAGES = web.AppKey("languages", Languages)
METRICS = web.AppKey("metrics", Metrics)
NEW_TRACE: web.AppKey[NewTrace] = web.AppKey("new_trace")
PICTURES = web.AppKey("pictures", ContactPictures)
READINESS = web.AppKey("readiness", Readiness)
REFUSALS = web.AppKey("refusals", RefusalLog)
RENDERER = web.AppKey("renderer", Renderer)
REPEATS = web.AppKey("repeats", Repeats)
RESPONSE_POLICY = web.AppKey("response_policy", ResponsePolicy)
SHARING = web.AppKey("sharing", SharingHeaders)
STORE = web.AppKey("store", WritableStore)
THUMB_HASHES = web.AppKey("thumb_hashes", ThumbHashes)
TRUSTED_PROXIES = web.AppKey("trusted_proxies", Sequence[IPv4Network | IPv6Network])
UPLOAD_LIMITS = web.AppKey("upload_limits", UploadLimits)
WRITES = web.AppKey("writes", Writes)
