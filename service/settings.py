"""The settings: defaults, then the operator's TOML, then `CONTACT_IMAGE_…` variables.

Only `app`, `entrance`, `server`, `serving` and `cli` see this module; everyone else receives values.
"""

from __future__ import annotations

import os
import re
import tomllib
from importlib.resources import files
from importlib.resources.abc import Traversable
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_origin
from urllib.parse import parse_qs, urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from service.formats import WRITABLE, Format
from service.protocol.credentials import Scheme
from service.protocol.origins import parse_origin
from service.protocol.signatures import parse_key

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
WholeSeconds = Annotated[int, Field(ge=0, le=2**31 - 1)]
Bytes = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]

_T = TypeVar("_T")


def _listed(value: object) -> object:
    """A list as TOML writes it; in a variable, names between commas will do, where JSON is a burden."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Listed = Annotated[tuple[_T, ...], BeforeValidator(_listed)]


_NUMBER = re.compile(r"[0-9]{1,9}")
_ANY = re.compile(r".+", re.DOTALL)
_URL_OPTIONS = {
    "db": _NUMBER,
    "username": _ANY,
    "password": _ANY,
    "client_name": _ANY,
    "health_check_interval": _NUMBER,
}
_TLS_OPTIONS = {
    "ssl_cert_reqs": re.compile(r"none|optional|required"),
    "ssl_ca_certs": _ANY,
    "ssl_certfile": _ANY,
    "ssl_keyfile": _ANY,
    "ssl_check_hostname": re.compile(r"true|false|0|1", re.IGNORECASE),
}


class BadSettings(Exception):
    """The settings cannot be used; *faults* lists every one, a line each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(faults)
        self.faults = faults


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(_Section):
    """Where to listen, and how patient to be with readers."""

    host: str
    port: Annotated[int, Field(ge=0, le=65535)]
    workers: Annotated[int, Field(ge=1, le=256)]
    connections: Annotated[int, Field(ge=16, le=1_000_000)]
    header_timeout: Seconds
    keepalive_timeout: Seconds
    write_timeout: Seconds
    shutdown_timeout: Seconds
    trusted_proxies: Listed[IPvAnyNetwork]


_JUDGES = ("users_file", "superoffice_url", "app_tokens", "jwt_jwks_url", "jwt_key_file")


class AuthSettings(_Section):
    """How to say who is asking, and who tells whether it is true."""

    schemes: Listed[Scheme]
    anonymous_read: bool
    users_file: str
    superoffice_url: str
    app_tokens: Listed[Annotated[SecretStr, Field(min_length=1)]]  # an empty one is what sends none
    session_cookie: Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$")]
    jwt_issuer: str
    jwt_audience: str
    jwt_jwks_url: str
    jwt_key_file: str
    signing_keys: Listed[SecretStr]
    remember_for: Annotated[int, Field(gt=0, le=3600)]

    @field_validator("signing_keys")
    @classmethod
    def _keys_with_ids(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        ids = [parse_key(key.get_secret_value())[0] for key in keys]
        if len(set(ids)) < len(ids):
            raise ValueError("must have an id of its own for each key")
        return keys

    @field_validator("superoffice_url", "jwt_jwks_url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            fine = not url or (parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0)
        except ValueError:
            fine = False
        if not fine or "@" in parts.netloc or parts.fragment:
            raise ValueError("must be an http:// or https:// URL without a user's name, or empty")
        return url

    @field_validator("superoffice_url")
    @classmethod
    def _a_base(cls, url: str) -> str:
        if "?" in url:
            raise ValueError("must be a URL that a path can be put behind: without a query")
        return url

    @model_validator(mode="after")
    def _each_scheme_has_its_judge(self) -> AuthSettings:
        jwt = bool(self.jwt_jwks_url or self.jwt_key_file)
        wanting = {
            Scheme.BASIC: not (self.users_file or self.superoffice_url) and "users_file or superoffice_url",
            Scheme.BEARER: not (jwt or self.superoffice_url) and "jwt_jwks_url, jwt_key_file or superoffice_url",
            Scheme.SOTICKET: not self.superoffice_url and "superoffice_url",
            Scheme.SESSION: not self.superoffice_url and "superoffice_url",
            Scheme.SIGNED: not self.signing_keys and "signing_keys",
        }
        faults = [f"{scheme} in schemes needs {wanting[scheme]}" for scheme in self.schemes if wanting[scheme]]
        if jwt and not (self.jwt_issuer and self.jwt_audience):
            faults.append("JSON web tokens need jwt_issuer and jwt_audience")
        if self.jwt_jwks_url and self.jwt_key_file:
            faults.append("jwt_jwks_url and jwt_key_file are two places for the same keys")
        if faults:
            raise ValueError("; ".join(faults))
        return self


class ImagesSettings(_Section):
    """Where the originals live."""

    directory: Path
    max_bytes: Bytes
    as_stored: Literal["verbatim", "clean"]
    timeout: Seconds
    watch: bool


class WritesSettings(_Section):
    """Whether anybody may change pictures over HTTP, and what is done to them then."""

    enabled: bool
    strip_metadata: bool


class CacheSettings(_Section):
    """Where renditions live, and for how long."""

    url: SecretStr
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]
    timeout: Annotated[float, Field(gt=0, le=0.05)]
    memory_bytes: Annotated[int, Field(ge=0)]
    embedded_bytes: Annotated[int, Field(ge=8_388_608)]
    max_entry_bytes: Bytes
    max_fields: Annotated[int, Field(ge=8)]
    kept_for: Annotated[int, Field(gt=0)]
    mezzanine_for: WholeSeconds
    fresh_for: Annotated[int, Field(gt=0)]
    missing_for: WholeSeconds
    unrenderable_for: WholeSeconds

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        if text and not text.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://, or be empty")
        try:
            parts = urlsplit(text)
            _ = parts.port
        except ValueError:  # its text may hold the password
            raise ValueError("is no URL, or has a port that is no number from 0 to 65535") from None
        if parts.scheme != "unix" and parts.path.strip("/") and not _NUMBER.fullmatch(parts.path.strip("/")):
            raise ValueError("has a path that is no database's number")
        known = _URL_OPTIONS | (_TLS_OPTIONS if parts.scheme == "rediss" else {})
        for name, values in parse_qs(parts.query, keep_blank_values=True).items():
            if name not in known:
                raise ValueError(f"has an unknown option; known are {', '.join(known)}")
            if not all(known[name].fullmatch(value) for value in values):
                raise ValueError(f"has a value of {name} that cannot be used")
        return url


class RenderSettings(_Section):
    """What a render may cost."""

    workers: Annotated[int, Field(ge=0, le=256)]
    queue: Count
    timeout: Seconds
    memory_bytes: Annotated[int, Field(ge=0)]
    max_dimension: Annotated[int, Field(gt=0, le=16_383)]
    max_pixels: Count
    max_decoded_bytes: Count
    max_frames: Count
    max_animation_pixels: Count
    enlarge: bool
    preference: str

    @field_validator("preference")
    @classmethod
    def _each_writable_format_once(cls, text: str) -> str:
        wanted = sorted(each.name for each in WRITABLE)
        if sorted(_names(text)) != wanted:
            raise ValueError(f"must name each of {', '.join(wanted).lower()} once")
        return text

    @property
    def preferred(self) -> tuple[Format, ...]:
        """`preference` as formats, the first winning a tie."""
        return tuple(Format[name] for name in _names(self.preference))


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _names(text: str) -> list[str]:
    return [name.strip().upper() for name in text.split(",")]


class EncodingSettings(_Section):
    """How hard each writer tries; the names and meanings of `imaging.order.Encoding`."""

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


class HttpSettings(_Section):
    """The lifetimes told to other caches."""

    max_age: WholeSeconds
    s_maxage: WholeSeconds
    stale_while_revalidate: WholeSeconds
    stale_if_error: WholeSeconds
    missing_max_age: WholeSeconds
    placeholder_max_age: WholeSeconds
    cors_origin: Listed[str]
    stale_max_age: WholeSeconds

    @field_validator("cors_origin")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if origins != ("*",) and not all(map(parse_origin, origins)):
            raise ValueError('must be ["*"] alone, or origins without a path such as https://crm.example')
        return origins


class LogSettings(_Section):
    """How much to say, and in what form."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    format: Literal["json", "console"]

    @field_validator("level", mode="before")
    @classmethod
    def _any_case(cls, level: object) -> object:
        return level.upper() if isinstance(level, str) else level


class Settings(BaseSettings):
    """All of `config/default.toml`, overridden and checked. Made by `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix="CONTACT_IMAGE_", env_nested_delimiter="__", extra="forbid", frozen=True, validate_default=True
    )

    server: ServerSettings
    auth: AuthSettings
    images: ImagesSettings
    writes: WritesSettings
    cache: CacheSettings
    render: RenderSettings
    encoding: EncodingSettings
    http: HttpSettings
    log: LogSettings

    @property
    def is_local(self) -> bool:
        """Whether this machine alone is listened to."""
        return _loopback(self.server.host)

    @model_validator(mode="after")
    def _nobody_is_let_in_by_mistake(self) -> Settings:
        unused = [name for name in _JUDGES if getattr(self.auth, name)]
        if unused and not self.auth.schemes and not self.is_local:
            raise ValueError(f"auth.{', auth.'.join(unused)} without auth.schemes would let everybody look")
        return self

    @model_validator(mode="after")
    def _strangers_change_nothing(self) -> Settings:
        if self.writes.enabled and not self.auth.schemes and not self.is_local:
            raise ValueError(
                "writes.enabled without auth.schemes would let everybody who reaches server.host change pictures: "
                "set auth.schemes, or listen on loopback"
            )
        return self


class _Variables(EnvSettingsSource):
    """Variables, whose lists may also be names between commas."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            if get_origin(field.annotation) is tuple:
                return value  # `_listed` takes it apart
            raise


def load_settings(config: Path | None = None, beneath: Path | None = None, **options: dict[str, Any]) -> Settings:
    """The settings in force: defaults, *config*'s TOML, the environment, then *options* of the command line.

    *beneath* is a TOML file of other defaults.

    Raises `BadSettings` with every fault that was found.
    """
    faults = _foreign_variables()
    layers: list[Path | Traversable] = [files("service") / "default.toml"]
    if beneath is not None:
        layers.append(beneath)
    if config is not None:
        try:
            tomllib.loads(config.read_text("utf-8"))
            layers.append(config)
        except OSError as error:
            faults.append(f"{config}: cannot be read: {error.strerror}")
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            faults.append(f"{config}: cannot be read as TOML: {error}")

    class Layered(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            toml = TomlConfigSettingsSource(settings_cls, toml_file=layers, deep_merge=True)
            return init_settings, _Variables(settings_cls), toml

    try:
        settings = Layered(**options)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        raise BadSettings(faults + [_fault(each) for each in error.errors(include_url=False)]) from error
    except SettingsError as error:
        raise BadSettings([*faults, f"{error} (a section is given as JSON)"]) from error
    if faults:
        raise BadSettings(faults)
    return settings


def _foreign_variables() -> list[str]:
    """Variables of ours that name no section, or a setting with one underscore for two.

    Others without `__` are let be: Kubernetes makes some for a service of our name.
    """
    sections = {
        name: {each.upper() for each in field.annotation.model_fields}
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, _Section)
    }
    near = {f"{name.upper()}_{each}": f"{name.upper()}__{each}" for name, fields in sections.items() for each in fields}
    faults = []
    for name in sorted(os.environ):
        rest = name.upper().removeprefix("CONTACT_IMAGE_")
        if rest == name.upper():
            continue
        if rest in near and not os.environ[name].startswith(("tcp://", "udp://")):
            faults.append(f"{name}: is no setting; did you mean CONTACT_IMAGE_{near[rest]}?")
        elif "__" in rest and rest.split("__")[0].lower() not in sections:
            faults.append(f"{name}: is no setting; the sections are {', '.join(sections)}")
    return faults


_SECRET = ("url", "superoffice_url", "jwt_jwks_url", "app_tokens", "signing_keys")
"""Settings that are secrets, or whose values may hold one."""


def _fault(error: ErrorDetails) -> str:
    """One line: the setting, its variable, what was wrong and what was given (a secret is not shown)."""
    path = [str(part) for part in error["loc"]]
    if not path:
        return error["msg"].removeprefix("Value error, ")
    name = ".".join(path)
    variable = "CONTACT_IMAGE_" + "__".join(part.upper() for part in path)
    # What stands under a wrong name, or in place of a whole section, may be a secret that missed its place.
    shown = len(path) == 2 and path[1] not in _SECRET and error["type"] != "extra_forbidden"
    given = f", not {error['input']!r}" if shown and not isinstance(error["input"], dict) else ""
    text = "is no setting" if error["type"] == "extra_forbidden" else error["msg"].removeprefix("Value error, ")
    return f"{name} ({variable}): {text}{given}"
