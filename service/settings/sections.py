"""The other sections, one class each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, IPvAnyNetwork, field_validator, model_validator

from service.access.schemes import CREDENTIAL_FIELDS
from service.errors import PictureError
from service.formats import WRITABLE, Format
from service.protocol.lists import TOKEN
from service.protocol.origins import parse_origin
from service.protocol.parameters import Presets, texts_of
from service.protocol.query import parse_query
from service.settings.values import Bytes, Count, Listed, Seconds, Section, WholeSeconds, is_loopback

_FORBIDDEN_FIELDS = frozenset(name.lower() for name in ("*", "Cookie", *CREDENTIAL_FIELDS))

_ADMIN = re.compile(r"unix:/[^\x00]{1,100}|(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5})")

HostName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9._-]{1,253}$"),
    AfterValidator(lambda name: name.lower().removesuffix(".")),
]


class ServerSettings(Section):
    """Where to listen, and the limits of connections."""

    host: str
    port: Annotated[int, Field(ge=0, le=65535)]
    workers: Annotated[int, Field(ge=1, le=256)]
    connections: Annotated[int, Field(ge=16, le=1_000_000)]
    header_timeout: Seconds
    keepalive_timeout: Seconds
    write_timeout: Seconds
    unsent_bytes: Bytes
    drain: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    shutdown_timeout: Seconds
    trusted_proxies: Listed[IPvAnyNetwork]
    allowed_hosts: Listed[HostName]
    admin: str

    @field_validator("admin")
    @classmethod
    def _address(cls, text: str) -> str:
        match = _ADMIN.fullmatch(text)
        if text and (match is None or int(match[1] or 0) > 65_535):
            raise ValueError("must be host:port, unix:/path, or empty")
        return text

    @property
    def operators_names(self) -> frozenset[str] | None:
        """The names of hosts that requests at `admin` may have; None: every name.

        Browsers of this machine reach a loopback address, but no other address of operators, and no unix socket.
        """
        host = self.admin.rpartition(":")[0].strip("[]")
        return frozenset(("localhost", *self.allowed_hosts)) if is_loopback(host) else None


class ImagesSettings(Section):
    """Where the originals are stored, and how they are read."""

    directory: Path
    marker: Annotated[str, Field(pattern=r"^[^/\x00-\x1f]{0,255}$")]
    max_bytes: Bytes
    as_stored: Literal["verbatim", "clean"]
    timeout: Seconds
    watch: bool
    near: bool | Literal["auto"]
    follow_links: Literal["inside", "all", "none"]

    @field_validator("marker")
    @classmethod
    def _names_a_file(cls, name: str) -> str:
        if name in (".", ".."):
            raise ValueError("must be the name of a file")
        return name


class WritesSettings(Section):
    """Whether pictures can be changed over HTTP, and what is removed from uploads."""

    enabled: bool
    strip_metadata: bool
    file_mode: Annotated[str, Field(pattern=r"^0?6[0246][0246]$")]

    @property
    def mode(self) -> int:
        """`file_mode` as a number."""
        return int(self.file_mode, 8)


class RenderSettings(Section):
    """Limits of renders, and the preference of formats."""

    workers: Annotated[int, Field(ge=0, le=256)]
    queue: Count
    queue_timeout: Seconds
    timeout: Seconds
    memory_bytes: Annotated[int, Field(ge=0)]
    sandbox: Literal["auto", "require", "off"]
    max_dimension: Annotated[int, Field(gt=0, le=16_383)]
    max_pixels: Count
    max_decoded_bytes: Count
    max_frames: Count
    max_animation_pixels: Count
    enlarge: bool
    preference: str
    presets: dict[str, str]
    presets_only: bool

    @model_validator(mode="after")
    def _presets_are_queries(self) -> RenderSettings:
        for name, query in self.presets_in_force.texts.items():
            if unfit := {"preset", "name"} & query.keys():
                raise ValueError(f"the preset {name!r} may not have {' and '.join(sorted(unfit))}")
            try:
                parse_query(self.presets[name], self.max_dimension)
            except PictureError as error:
                raise ValueError(f"the preset {name!r}: {error}") from None
        if self.presets_only and not self.presets:
            raise ValueError("presets_only without presets would refuse every request")
        return self

    @property
    def presets_in_force(self) -> Presets:
        """The presets, as requests name them. Raise ValueError."""
        return Presets(
            {
                name: {key: text for key, text in texts_of(query).items() if text}
                for name, query in self.presets.items()
            },
            self.presets_only,
        )

    @field_validator("preference")
    @classmethod
    def _every_writable_format_once(cls, text: str) -> str:
        names = sorted(each.name for each in WRITABLE)
        if sorted(_names(text)) != names:
            raise ValueError(f"must name each of {', '.join(names).lower()} once")
        return text

    @property
    def preferred(self) -> tuple[Format, ...]:
        """`preference` as formats. The first one wins a tie."""
        return tuple(Format[name] for name in _names(self.preference))


class PlaceholdersSettings(Section):
    """The operator's own placeholders."""

    directory: str


class EncodingSettings(Section):
    """Quality and effort of the writers. Names and meanings are those of `imaging.order.Encoding`."""

    jpeg_quality: Annotated[int, Field(ge=1, le=95)]
    jpeg_progressive: bool
    jpeg_subsampling: Annotated[int, Field(ge=0, le=2)]
    webp_quality: Annotated[int, Field(ge=1, le=100)]
    webp_method: Annotated[int, Field(ge=0, le=6)]
    avif_quality: Annotated[int, Field(ge=1, le=100)]
    avif_speed: Annotated[int, Field(ge=0, le=10)]
    avif_subsampling: Annotated[int, Field(ge=0, le=2)]
    png_level: Annotated[int, Field(ge=0, le=9)]
    png_palette: bool
    gif_dither: bool


class HttpSettings(Section):
    """Lifetimes for other caches, and access by pages of other origins."""

    max_age: WholeSeconds
    s_maxage: WholeSeconds
    stale_while_revalidate: WholeSeconds
    stale_if_error: WholeSeconds
    missing_max_age: WholeSeconds
    placeholder_max_age: WholeSeconds
    cors_origin: Listed[str]
    cors_headers: Annotated[Listed[Annotated[str, Field(pattern=rf"^{TOKEN}$", max_length=128)]], Field(max_length=64)]
    stale_max_age: WholeSeconds

    @field_validator("cors_origin")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if origins != ("*",) and not all(map(parse_origin, origins)):
            raise ValueError('must be ["*"] alone, or origins without a path such as https://crm.example')
        return origins

    @field_validator("cors_headers")
    @classmethod
    def _no_wildcard_and_no_credentials(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if {name.lower() for name in names} & _FORBIDDEN_FIELDS:
            raise ValueError(
                f"must be names of fields without credentials: not * or Cookie, nor {', '.join(CREDENTIAL_FIELDS)}, "
                "which pages of listed origins may always send and those of * never"
            )
        return names


class PagesSettings(Section):
    """The pages for people."""

    enabled: bool


class LogSettings(Section):
    """Level and form of the log."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    format: Literal["json", "console"]
    access: Literal["off", "misses", "all"]

    @field_validator("level", mode="before")
    @classmethod
    def _any_case(cls, level: object) -> object:
        return level.upper() if isinstance(level, str) else level


class TracingSettings(Section):
    """Where spans of requests are sent, and of which requests."""

    endpoint: Annotated[str, Field(pattern=r"^(https?://[^\s/?#@]{1,255}/[^\s?#@]{0,255})?$")]
    ratio: Annotated[float, Field(ge=0, le=1)]


def _names(text: str) -> list[str]:
    return [name.strip().upper() for name in text.split(",")]
