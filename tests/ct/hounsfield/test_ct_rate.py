"""CT-RATE's metadata tables are read as they are shipped, and nothing else is taken for one."""

from pathlib import Path

import pytest

from longllava_domains.ct.hounsfield.ct_rate import CtRateVolume, read_ct_rate_metadata
from longllava_domains.errors import DamagedInputError, NotFoundError

COLUMNS = (
    "VolumeName,Manufacturer,PatientSex,ConvolutionKernel,XYSpacing,RescaleIntercept,"
    "RescaleSlope,NumberofSlices,ZSpacing,StudyDate"
)
ROWS = (
    'made_1_a_1.nii.gz,Acme,F,B,"[0.341796875, 0.341796875]",-1024,1,251,1.5,20200101\n'
    "made_2_a_1.nii.gz,Acme,M,\"['Br40f', '3']\",\"[0.75, 0.75]\",-8192.0,1.0,300,0.75,20200102\n"
)


def write(folder: Path, text: str) -> Path:
    (folder / "metadata.csv").write_text(text)
    return folder / "metadata.csv"


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_table_is_read(tmp_path: Path, mark: str) -> None:
    table = read_ct_rate_metadata(write(tmp_path, f"{mark}{COLUMNS}\n{ROWS}"))
    assert dict(table) == {
        "made_1_a_1.nii.gz": CtRateVolume(
            1, -1024, (1.5, 0.341796875, 0.341796875), "B", "OTHER", "female"
        ),
        "made_2_a_1.nii.gz": CtRateVolume(1, -8192, (0.75, 0.75, 0.75), "Br40f", "OTHER", "male"),
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "VolumeName,ZSpacing\na,1\n",
        f"{COLUMNS}\nSmith_Anna,Acme,F,B,0.34,-1024,1,251,1.5,20200101\n",
        f'{COLUMNS}\nSmith_Anna,Acme,F,B,"[0.3, 0.3]",,1,251,1.5,20200101\n',
        f'{COLUMNS}\nSmith_Anna,Acme,F,B,"[0.3, 0.3]",-1024,0,251,1.5,20200101\n',
        f'{COLUMNS}\nSmith_Anna,Acme,F,B,"[0.3, -0.3]",-1024,1,251,1.5,20200101\n',
        f'{COLUMNS}\nSmith_Anna,Acme,F,B,"[0.3, 0.3]",nan,1,251,1.5,20200101\n',
        f"{COLUMNS}\nSmith_Anna,Acme\n",
    ],
)
def test_a_broken_table_is_refused_without_a_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(DamagedInputError) as caught:
        read_ct_rate_metadata(write(tmp_path, text))
    assert "Smith" not in f"{caught.value}{caught.value.facts}{caught.value.__context__}"


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_bytes(b"VolumeName\xff\xfe\x00\x81\n")
    with pytest.raises(DamagedInputError):
        read_ct_rate_metadata(tmp_path / "metadata.csv")


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        read_ct_rate_metadata(tmp_path / "Smith_Anna.csv")
    assert "Smith" not in str(caught.value)
