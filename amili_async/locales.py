"""The texts of locale keys, such as a payment's `status_reason_locale`."""

from msgspec import Struct

from amili_async._wire.context import ClientContext
from amili_async._wire.tasks import not_picklable
from amili_async.conditions import field
from amili_async.errors import ApiError, ConfigurationError, ConnectionFailed, UnreadableResponse
from amili_async.models.record_type import record_type_of
from amili_async.resources import Resource

MAX_CACHED_KEYS = 1_000
"""Keys whose texts are kept: the API has a fixed set of them, but nothing limits what a row states."""

MAX_KEY_LENGTH = 200
"""Characters of a key: a longer text is no key, and would not fit into a request line."""


class Translation(Struct, frozen=True, gc=False):
    """One text in one language."""

    translation: str | None = None
    """The text."""


class Locale(Struct, frozen=True, gc=False):
    """One row of `locales`, as far as it is needed."""

    locale_tag: str | None = None
    """The key."""
    translations: dict[str, Translation | None] | None = None
    """The texts by language."""
    machine_translations: dict[str, Translation | None] | None = None
    """Texts in the languages that a machine translated."""


@not_picklable
class Locales:
    """Finds the texts of locale keys and remembers them as long as the client exists."""

    def __init__(self, path: str, context: ClientContext) -> None:
        self._path, self._context = path, context
        self._known: dict[str, tuple[Locale, ...]] = {}

    async def explain(self, key: str, *, language: str) -> str:
        """The text of *key* in *language* (`sv`, `en`, …), or the key if the API has none or does not answer."""
        if not (isinstance(language, str) and language.strip()):
            raise ConfigurationError("language must be a language code, such as 'sv'")
        if len(key) > MAX_KEY_LENGTH:
            return key
        # The documentation does not state that a payment's key is one of `locales`, so each failure leaves the key.
        try:
            rows = self._known[key] if key in self._known else await self._find(key)
        except (ApiError, ConnectionFailed, UnreadableResponse):
            return key
        texts = (each.get(language) for row in rows for each in (row.translations, row.machine_translations) if each)
        return next((text.translation for text in texts if text and text.translation), key)

    async def _find(self, key: str) -> tuple[Locale, ...]:
        resource = Resource(self._path, record_type_of(Locale, is_projected=True), self._context)
        page = await resource.page(where=field("locale_tag") == key)
        if len(self._known) >= MAX_CACHED_KEYS:
            self._known.clear()
        # A server that ignores the filter answers with rows of other keys.
        self._known[key] = tuple(row for row in page.items if row.locale_tag == key)
        return self._known[key]
