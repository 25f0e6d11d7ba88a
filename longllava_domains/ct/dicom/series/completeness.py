"""Account for every image of a series: what is read, what is beside it, and what is missing."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from longllava_domains.ct.dicom.header import SliceHeader
from longllava_domains.ct.dicom.series.grouping import Rest, SubSeries
from longllava_domains.ct.dicom.series.study import Study
from longllava_domains.errors import Fact, GeometryError


def account_for(study: Study, chosen: SubSeries, *, asked: bool) -> Counter[str]:
    """Account for all images under the series UID of the chosen sub-series.

    Args:
        study: All that was found.
        chosen: What is read.
        asked: The user named this sub-series, knowing that it is a part.

    Returns:
        Report codes: ``series.joined``, ``series.part`` with the images beside it, and signs in
        the headers that more are missing.

    Raises:
        GeometryError: Images lie where the chosen ones do not, and nobody asked for a part.
    """
    codes: Counter[str] = Counter({"series.joined": chosen.joined})
    if chosen.rest and not asked:
        raise _part_of_series(chosen)
    codes["series.part"] = sum(rest.images for rest in chosen.rest)
    uid = chosen.headers[0].series
    if uid:
        own = [one for other in study.series for one in other.headers if one.series == uid]
        codes += missing_rest(own, study.first_number.get(uid))
    return +codes


def _part_of_series(chosen: SubSeries) -> GeometryError:
    """Return the refusal to take a part for the whole, with the ranges of both."""
    rest = chosen.rest
    images, beside = len(chosen.headers), sum(one.images for one in rest)
    spans = [chosen.span_mm, *(one.span_mm for one in rest)]
    facts: dict[str, Fact] = {
        "slices": images,
        "beside": beside,
        "ranges_mm": tuple(end for span in spans if span for end in span),
        "differs": tuple(dict.fromkeys(one.differs for one in rest)),
    }
    if all(one.differs == "size" for one in rest):
        return GeometryError(
            f"{beside} slices of this series have another size than the other {images}.",
            remedy="Pass series=NUMBER of ct.list_series(path) to take those of one size.",
            code="ct.mixed_size",
            facts={**facts, "other_size": beside},
        )
    listed = "; ".join(map(_described, rest[:3]))
    return GeometryError(
        f"The best {images} slices ({_range(chosen.span_mm)}) are a part of their series: {listed}.",
        remedy="Export the parts as series of their own, or pass series=NUMBER of "
        "ct.list_series(path) to read one part knowingly.",
        code="ct.part_of_series",
        facts=facts,
    )


def _described(rest: Rest) -> str:
    return f"{rest.images} more of another {rest.differs} lie at {_range(rest.span_mm)}"


def _range(span_mm: tuple[float, float] | None) -> str:
    return "an unknown place" if span_mm is None else f"{span_mm[0]:.1f} to {span_mm[1]:.1f} mm"


def missing_rest(headers: Sequence[SliceHeader], first_number: int | None) -> Counter[str]:
    """Return report codes for what the headers of one series UID say is missing.

    Args:
        headers: Every image under the UID.
        first_number: The lowest instance number under it, of pages and localizers too.

    Returns:
        ``series.concatenation_incomplete`` with the parts that are missing,
        ``series.fewer_images_than_declared`` (Images in Acquisition) and
        ``series.numbers_start_late`` with the images before the first number.
    """
    codes: Counter[str] = Counter()
    parts: dict[str, set[int]] = defaultdict(set)
    totals: dict[str, int] = defaultdict(int)
    declared: dict[int | None, int] = defaultdict(int)
    present: Counter[int | None] = Counter()
    for one in headers:
        if one.concatenation and one.concatenation_part:
            parts[one.concatenation].add(one.concatenation_part)
            known = max(one.concatenation_parts or 0, one.concatenation_part)
            totals[one.concatenation] = max(totals[one.concatenation], known)
        declared[one.acquisition] = max(declared[one.acquisition], one.images_in_acquisition or 0)
        present[one.acquisition] += 1
    codes["series.concatenation_incomplete"] = sum(totals[c] - len(parts[c]) for c in parts)
    codes["series.fewer_images_than_declared"] = sum(
        max(0, declared[number] - present[number]) for number in declared
    )
    single = all(one.frames == 1 for one in headers)
    if single and first_number is not None and first_number > 1:
        codes["series.numbers_start_late"] = first_number - 1
    return +codes
