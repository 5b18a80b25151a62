"""For Litestar: `Litestar(…, plugins=[AmiliPlugin()])`.

Litestar knows msgspec, and writes records as they are, but takes the type of their dates for an unknown one.
"""

from typing import Any

from litestar import Request, Response
from litestar.config.app import AppConfig
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.plugins import InitPlugin, OpenAPISchemaPlugin
from litestar.typing import FieldDefinition

from amili_async.errors import ConfigurationError
from amili_async.models.portable import decode_date
from amili_async.models.timestamps import Timestamp


class AmiliPlugin(InitPlugin, OpenAPISchemaPlugin):
    """Lets a handler take records as `data`, with dates of either form, and shows them as `date-time` in OpenAPI.

    It answers `ConfigurationError`, such as that of a `NewCreditorPayment` with an impossible value, with 400 and its
    text, unless the app has an exception handler for it.
    """

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Read the dates of records, and answer what they reject."""
        app_config.type_decoders = [(_is_date, decode_date), *(app_config.type_decoders or ())]
        if not set(ConfigurationError.__mro__).intersection(app_config.exception_handlers):
            app_config.exception_handlers[ConfigurationError] = _answer_error
        return app_config

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        """Whether a field holds a date of a record."""
        return _is_date(field_definition.annotation)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:  # noqa: ARG002
        """The schema of a date."""
        return Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.DATE_TIME)


def _answer_error(_: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    return Response({"status_code": 400, "detail": str(error)}, status_code=400)


def _is_date(type_: Any) -> bool:
    return type_ is Timestamp
