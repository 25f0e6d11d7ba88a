import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longllava_domains.errors import OutputError
from longllava_domains.provenance import ALLOWED, RESEARCH_NOTICE, Provenance


def test_a_key_that_is_not_listed_cannot_be_recorded() -> None:
    with pytest.raises(OutputError, match="patient_name"):
        Provenance(patient_name="DOE")


@given(key=st.sampled_from(sorted(ALLOWED)), name=st.text(min_size=1).map(lambda t: f"Doe {t}"))
def test_free_text_is_refused_under_every_key_and_never_repeated(key: str, name: str) -> None:
    if key == "source_href":  # a satellite scene is not a patient: links are free text
        return
    with pytest.raises(OutputError) as caught:
        Provenance(**{key: name})
    assert "Doe" not in str(caught.value)


def test_links_with_credentials_or_signatures_are_refused() -> None:
    assert Provenance(source_href="https://host/a.tif")["source_href"] == "https://host/a.tif"
    for link in ("https://user:word@host/a.tif", "https://host/a.tif?sig=abc"):
        with pytest.raises(OutputError):
            Provenance(source_href=link)


def test_it_is_immutable_even_through_a_nested_value_the_caller_still_holds() -> None:
    policy = {"windows": ["lung"]}
    made = Provenance(policy=policy)
    policy["windows"].append("bone")
    made["policy"]["windows"].append("brain")
    assert made["policy"] == {"windows": ["lung"]}


def test_later_entries_win_and_the_first_record_stays() -> None:
    first = Provenance(domain="ct", views=3)
    second = first.with_(views=4, notices=[RESEARCH_NOTICE])
    assert (first["views"], second["views"]) == (3, 4)
    assert json.loads(json.dumps(second.to_json())) == dict(second)
    assert hash(first) == hash(Provenance(views=3, domain="ct"))
