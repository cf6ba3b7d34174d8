"""Lists of jobs in the formats people use: each is parsed correctly, or its wrong rows are named."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.commands import JobEntry, RequestFaults, read_list
from daemon.domain.jobs import JobId, ProjectName

MAIN, OTHER = ProjectName("main"), ProjectName("other")


def read(data: bytes | str, *, default: ProjectName | None = MAIN) -> list[JobEntry]:
    faults = RequestFaults()
    found = read_list(data.encode() if isinstance(data, str) else data, [MAIN, OTHER], faults, default=default)
    assert faults.listed() == []
    return found


def wrong(data: bytes | str, *, default: ProjectName | None = MAIN) -> list[str]:
    faults = RequestFaults()
    read_list(data.encode() if isinstance(data, str) else data, [MAIN, OTHER], faults, default=default)
    return [f"{fault.place}: {fault.text}" for fault in faults.listed()]


FULL = JobEntry(project=OTHER, job_id=JobId("a-1"), kind="photo", label="春 “A”, B", tags=("x", "y"), batch="w 12")
PLAIN = JobEntry(project=MAIN, job_id=JobId("b"))
CSV = 'job_id,label,tags,batch,kind,project\r\na-1,"春 “A”, B",x;y,w 12,photo,other\r\n\r\n# a note\r\nb,,,,,\r\n'
LINES = (
    '{"job_id": "a-1", "label": "春 “A”, B", "tags": ["x", "y"], "batch": "w 12", "kind": "photo", '
    '"project": "other"}\n'
    '\n{"job_id": "b", "label": null}\n'
)


@pytest.mark.parametrize(
    "data",
    [
        CSV.encode(),
        b"\xef\xbb\xbf" + CSV.encode(),
        CSV.encode("utf-16"),
        CSV.replace("\r\n", "\n").encode(),
        CSV.replace("\r\n", "\r").encode(),
        CSV.replace("job_id,label", " Job ID ,LABEL").encode(),
        CSV.replace("x;y", '"x, y"').encode(),
        "kind\tjob_id\ttags\tproject\tbatch\tlabel\nphoto\ta-1\tx,y\tother\tw 12\t春 “A”, B\n\tb\n".encode(),
        'job_id;label;tags;batch;kind;project\na-1;春 “A”, B;"x;y";w 12;photo;other\nb\n'.encode(),
        LINES.encode(),
        b"\xef\xbb\xbf" + LINES.replace("\n", "\r\n").encode(),
        ("[" + LINES.strip().replace("\n\n", ",\n") + "]").encode(),
        json.dumps({"jobs": [json.loads(line) for line in LINES.split("\n") if line]}, indent=2).encode(),
    ],
)
def test_every_form_says_the_same(data: bytes) -> None:
    assert read(data) == [FULL, PLAIN]


def test_ids_one_a_line() -> None:
    assert read("# mine\r\n\r\n a \rb\n") == [JobEntry(project=MAIN, job_id=JobId("a")), PLAIN]
    assert read('job_id\na\n"b"\n')[1:] == [PLAIN]
    assert read("") == read("\n# nothing\n") == []


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("a\nb/c\nd", ["line 2: 'b/c' is not a job id: 1 to 128 letters, digits, '_' and '-'"]),
        ("a,b\nc,d\n", ["line 1: no column is called job_id"]),
        ("job_id,colour\na,red\n", ["line 1: the column 'colour' is unknown"]),
        ("job_id,job_id\na,b\n", ["line 1: the column 'job_id' is unknown or duplicated"]),
        (
            "job_id,kind\n\na,avatr\nb,photo\n,photo\n",
            ["line 3, kind: no kind is called 'avatr'", "line 5, job_id: it is"],
        ),
        ("job_id,label\na,b,c\n", ["line 2: it has more than 2 cells"]),
        ('job_id,label\na,"b\nc\n', ["line 3: it is not CSV"]),
        ('job_id,label\na,"x\ny"\nb/,z\n', ["line 4, job_id: 'b/' is not a job id"]),
        (b"job_id,label\na,\xb4\xba\xbc\xbe\n", ["line 2: it is not UTF-8; save the list as UTF-8"]),
        ('{"job_id": "a"}\n{"job_id": \n[]\n', ["line 2: it is not JSON", "line 3: it is not an object"]),
        ('{"job_id": "a", "lable": "x"}', ["line 1, lable: there is no such key; did you mean 'label'?"]),
        ('{"job_id": "a", "tags": "x"}', ["line 1, tags: it must be a list of texts"]),
        (b'{"job_id": "a"}\n{"job_id": "b", "label": "\xff"}\n', ["line 2: it is not UTF-8"]),
        ("[" * 100_000, ["line 1: it is not JSON"]),
        ("job_id,tags\na," + ";".join(map(str, range(21))), ["line 2, tags: 21 tags are too many"]),
        ("job_id,batch\na," + "x" * 65, ["line 2, batch: it must have 1 to 64"]),
    ],
)
def test_each_wrong_row_is_named_with_its_place_and_remedy(data: bytes | str, says: list[str]) -> None:
    told = wrong(data)
    assert len(told) == len(says), told
    assert all(fault.startswith(wanted) for fault, wanted in zip(told, says, strict=True)), told


def test_rows_without_a_project_need_one_where_there_are_several() -> None:
    assert wrong("job_id,project\na,main\nb,\n", default=None) == [
        "line 3, project: it is missing; give one of main, other"
    ]


@given(st.binary(max_size=300))
def test_no_bytes_are_an_error_of_ours(data: bytes) -> None:
    faults = RequestFaults()
    read_list(data, [MAIN], faults, default=MAIN)


@given(st.text(max_size=200), st.sampled_from(["job_id,label\n", "job_id;tags\n", '{"job_id": "a", ', "[{"]))
def test_no_text_after_a_right_beginning_is_either(text: str, begin: str) -> None:
    faults = RequestFaults()
    read_list((begin + text).encode("utf-8", "surrogatepass"), [MAIN], faults, default=MAIN)
