"""How a root is read survives being remembered."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from search_engine.ingest.settings import RootSettings

_settings = st.builds(
    RootSettings,
    fields=st.dictionaries(st.sampled_from(["id", "text", "title"]), st.text(min_size=1)),
    hidden=st.booleans(),
    ocr=st.booleans(),
)


@given(settings=_settings)
def test_what_is_remembered_is_what_was_given(settings) -> None:
    assert RootSettings.from_json(json.loads(json.dumps(settings.as_json()))) == settings


def test_nothing_is_remembered_of_the_defaults() -> None:
    assert RootSettings().as_json() == {}
    assert RootSettings.from_json({}) == RootSettings()


@given(settings=_settings)
def test_only_what_is_given_changes(settings) -> None:
    assert settings.changed() == settings
    assert settings.changed(hidden=False) == RootSettings(settings.fields, False, settings.ocr)
    assert settings.changed(ocr=True) == RootSettings(settings.fields, settings.hidden, True)
    changed = settings.changed(fields={"text": "a"})
    assert changed == RootSettings({"text": "a"}, settings.hidden, settings.ocr)
