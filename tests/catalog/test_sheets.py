"""Spreadsheets: what goes out comes in unchanged, every line is told of before it is written, nonsense is refused."""

from __future__ import annotations

import io
import random
import tracemalloc
import zipfile
from datetime import UTC, date, datetime, timedelta

import openpyxl
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessions import services
from sessions.errors import Conflict, Forbidden, Invalid, LabError, NotFound, TooLarge
from sessions.models import Animal, Event, Procedure, Session, SheetImport, Weighing
from sessions.services.sheets import carry_out, confirm_sheet, count, discard_sheet, send_sheet
from sessions.sheets import files
from sessions.sheets.kinds import KINDS, export
from sessions.tasks import sweep_sheets, work_on_sheet
from tests.catalog.conftest import HOUR, NOON

pytestmark = pytest.mark.django_db
# What a text of a laboratory may hold, and a spreadsheet would love to run, round or trim.
AWKWARD = [
    "=1+1", "+49 30", "-5", "@sum", "'=quoted", "'apostrophe", "1e5", "007", "  spaces  ", "semi;colon", 'quo"te',
    "two\nlines", "two\r\nlines", "\tTab", "_x000D_", "\x0b\x1f", "Ünïcödé 🐀", "true", "2026-03-02",
]  # fmt: skip


def line_of(text: str | bytes, kind: str = "animals", name: str = "a.csv", by=None, write: bool = False):
    content = text.encode() if isinstance(text, str) else text
    return carry_out(by=by, kind=kind, name=name, content=content, write=write)


def kinds(verdicts) -> list[str]:
    return [verdict.kind for verdict in verdicts]


def book(*rows, title: str = "animals", more: tuple[str, ...] = (), touch=None) -> bytes:
    made = openpyxl.Workbook()
    made.active.title = title
    for row in rows:
        made.active.append(row)
    for name in more:
        made.create_sheet(name).append(["x"])
    if touch:
        touch(made.active)
    stream = io.BytesIO()
    made.save(stream)
    return stream.getvalue()


@pytest.fixture
def filled(lab):
    """A laboratory with everything that a cell may have to hold."""
    strain = services.create_strain(by=lab.manager, name="Long-Evans; hooded", species=lab.rat)
    for position, text in enumerate(AWKWARD):
        services.create_animal(
            by=lab.manager, identifier=f"A{position}", project=lab.project, species=lab.rat, strain=strain, notes=text,
            cage=text.replace("\n", " ")[:60], genotype=text[:60], birth_date=date(2026, 1, 1 + position), sex="F",
            responsible=lab.viewer,
        )  # fmt: skip
    odd = services.create_animal(by=lab.manager, identifier='odd; "name"', project=lab.project, species=lab.rat)
    services.start_session(
        by=lab.manager, animals=[odd, Animal.objects.get(identifier="A1")], rig=lab.rig, narrative="=1\r\n+2",
        start=NOON + 5 * HOUR + timedelta(microseconds=123457), end=NOON + 6 * HOUR, people=[lab.viewer, lab.manager],
        quality="good", title="-t", number=7,
    )  # fmt: skip
    for _ in range(2):
        empty = services.start_session(by=lab.manager, project=lab.project, start=NOON + 9 * HOUR)
        services.end_session(by=lab.manager, session=empty, end=NOON + 9 * HOUR)
    values = [{}, 5, 5.0, "5", None, [1, {"a": "ü"}], {"side": "left"}, True]
    services.add_events(
        by=lab.manager,
        session=lab.session,
        events=[{"time": NOON + timedelta(microseconds=n), "kind": "poke", "value": v} for n, v in enumerate(values)]
        + [{"time": NOON, "kind": "reward", "source": "box", "number": n} for n in range(3)]
        + [{"time": NOON, "kind": "twin"}, {"time": NOON, "kind": "twin"}],
    )
    for hour, text in enumerate(AWKWARD[:4]):
        about = {"by": lab.manager, "animal": odd, "notes": text}
        services.add_entry(Weighing, time=NOON + hour * HOUR, weight=300.25 + hour, **about)
        services.add_entry(Procedure, start=NOON + hour * HOUR, kind="surgery", narrative=text, **about)
    return lab


@pytest.mark.parametrize("file_format", ["csv", "xlsx"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_export_imports_again_as_the_same(filled, settings, kind, file_format):
    settings.TIME_ZONE = "Europe/Berlin"
    content = export(filled.manager, kind, file_format, {})
    verdicts, written = carry_out(by=filled.manager, kind=kind, name=f"x.{file_format}", content=content, write=True)
    assert written
    assert len(verdicts) > 2
    assert set(kinds(verdicts)) == {"same"}, [v for v in verdicts if v.kind != "same"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30))
def test_any_text_survives_both_formats(text):
    for file_format, write in (("csv", files.write_csv), ("xlsx", lambda h, r: files.write_xlsx("animals", h, r))):
        header, lines = files.read(f"a.{file_format}", write(["a", "b"], [[text, "end"]]), "animals")
        assert header == ["a", "b"]
        assert lines[0].cells[0] in ({text} if text else {"", None})


def test_what_was_exported_elsewhere_makes_the_same_laboratory(filled):
    content = {kind: export(filled.manager, kind, "xlsx", {}) for kind in KINDS}
    before = {kind: list(KINDS[kind].rows(filled.manager, {}).values_list("pk", flat=True)) for kind in KINDS}
    Event.objects.all().delete()
    Session.objects.all().delete()
    Weighing.objects.all().delete()
    Procedure.objects.all().delete()
    Animal.objects.all().delete()
    for kind, rows in before.items():
        verdicts, written = carry_out(by=filled.manager, kind=kind, name="x.xlsx", content=content[kind], write=True)
        if kind == "sessions":
            # Two that start at the same moment, have no animal and no rig, cannot be told from a line sent twice.
            assert not written
            assert kinds(verdicts).count("wrong") == 1
            break
        assert written
        assert kinds(verdicts) == ["new"] * len(rows)
        again = carry_out(by=filled.manager, kind=kind, name="x.xlsx", content=content[kind], write=True)
        assert set(kinds(again[0])) == {"same"}


def test_a_check_says_what_every_line_would_do_and_writes_nothing(lab):
    text = (
        "Identifier;Project;species;sex;birth date;notes\n"
        "R214;Memory;rat;female;;\n"
        "R300;Memory;rat;M;2026-01-05;new one\n"
        "R301;Memory;cat;M;2026-01-05;\n"
        "R302;Memory;rat;X;05.01.2026;\n"
        "R300;Memory;rat;M;;\n"
        ";Memory;rat;M;;\n"
        "R303;;rat;;;\n"
    )
    verdicts, written = line_of(text, by=lab.experimenter, write=True)
    assert not written
    assert kinds(verdicts) == ["changed", "new", "wrong", "wrong", "wrong", "wrong", "wrong"]
    assert verdicts[0].details == ("sex: U → F",)
    assert "species names the species 'cat'" in verdicts[2].details[0]
    assert "sex is 'x'; it is one of M, F, U" in verdicts[3].details[0]
    assert "birth_date is '05.01.2026'; write a day as 2026-03-02" in verdicts[3].details[1]
    assert verdicts[4].details == ("line 3 is about the same animal",)
    assert verdicts[5].details == ("identifier is empty",)
    assert verdicts[6].details == ("a new animal needs project",)
    assert [verdict.line for verdict in verdicts] == [2, 3, 4, 5, 6, 7, 8]
    assert Animal.objects.count() == 1
    assert Animal.objects.get().sex == "U"


def test_what_the_database_refuses_is_told_before_anything_is_written(lab):
    text = (
        "start,animals,rig,end\n"
        "2026-03-02T12:30:00Z,R214,,2026-03-02T13:30:00Z\n"
        "2026-03-05T12:00:00Z,R214,box 1,2026-03-05T11:00:00Z\n"
        "2026-03-06T12:00:00Z,R999,,\n"
        "2026-03-07T12:00:00Z,,box 1,\n"
    )
    verdicts, _ = line_of(text, "sessions", by=lab.experimenter)
    assert kinds(verdicts) == ["wrong"] * 4
    assert verdicts[0].details == ("This animal is in another session at that time",)
    assert verdicts[1].details == ("The session ends before it starts",)
    assert "'R999', which is not there or not to be seen" in verdicts[2].details[0]
    assert "Say of which project the session is" in verdicts[3].details[0]


def test_a_session_is_found_by_its_start_and_animals_and_changed(lab):
    text = "start,animals,rig,task,people,narrative\n2026-03-02T13:00:00+01:00,R214,box 1,odour sequence,viewer,calm\n"
    verdicts, written = line_of(text, "sessions", by=lab.experimenter, write=True)
    assert written
    assert verdicts[0].details == ("people: experimenter → viewer", "narrative: nothing → calm")
    lab.session.refresh_from_db()
    assert lab.session.narrative == "calm"
    assert list(lab.session.people.all()) == [lab.viewer]
    history = lab.session.history.order_by("-pgh_id").first()
    assert history.narrative == "calm"


def test_a_weighing_is_found_by_its_animal_and_moment_and_corrected(lab):
    services.add_entry(Weighing, by=lab.manager, animal=lab.animal, weight=35, time=NOON)
    sheet = "animal,time,weight,person\n" + "\n".join(
        (
            f"R214,{NOON.isoformat()},350,",
            f"R214,{(NOON + HOUR).isoformat()},351.5,viewer",
            f"R214,{(NOON + HOUR).isoformat()},352,viewer",
            f"R214,{(NOON + 2 * HOUR).isoformat()},0,",
            f"R999,{NOON.isoformat()},300,",
        )
    )
    assert kinds(line_of(sheet, "weighings", by=lab.manager)[0]) == ["changed", "new", "wrong", "wrong", "wrong"]
    right = "\n".join(sheet.splitlines()[:3])
    line_of(right, "weighings", by=lab.manager, write=True)
    assert sorted(Weighing.objects.values_list("weight", "person__username")) == [(350, "manager"), (351.5, "viewer")]
    assert kinds(line_of(right, "weighings", by=lab.manager)[0]) == ["same", "same"]


def test_times_without_a_zone_are_of_the_laboratory_unless_they_never_were_or_were_twice(lab, settings):
    settings.TIME_ZONE = "Europe/Berlin"
    text = (
        "start,project,end\n2026-02-02 13:00,Memory,2026-02-02 14:00\n2026-03-29 02:30,Memory,\n"
        "2025-10-26 02:30,Memory,\n9999-12-31 23:59,Memory,\n2025-02-30 10:00,Memory,\n"
    )
    verdicts, _ = line_of(text, "sessions", by=lab.experimenter)
    assert kinds(verdicts) == ["new", "wrong", "wrong", "wrong", "wrong"]
    assert "left out" in verdicts[1].details[0]
    assert "showed twice" in verdicts[2].details[0]
    assert line_of(text.partition("2026-03-29")[0], "sessions", by=lab.experimenter, write=True)[1]
    assert Session.objects.filter(start=datetime(2026, 2, 2, 12, tzinfo=UTC)).exists()


def test_events_are_taken_once_and_never_rewritten(lab):
    text = (
        "session_start,animals,time,kind,value,source,number\n"
        '2026-03-02T12:00:00Z,R214,2026-03-02T12:00:01Z,poke,"{""side"": ""left""}",box,1\n'
        "2026-03-02T12:00:00Z,R214,2026-03-02T12:00:02Z,poke,,box,2\n"
        "2026-03-02T12:00:00Z,,2026-03-02T12:00:03Z,lick,,,\n"
    )
    assert kinds(line_of(text, "events", by=lab.experimenter, write=True)[0]) == ["new"] * 3
    assert kinds(line_of(text, "events", by=lab.experimenter, write=True)[0]) == ["same"] * 3
    assert Event.objects.count() == 3
    verdicts, written = line_of(text.replace(":02Z", ":09Z"), "events", by=lab.experimenter, write=True)
    assert not written
    assert "events are not rewritten" in verdicts[1].details[0]
    wrong = line_of(text.replace("R214", "").replace("12:00:00Z", "12:00:09Z"), "events", by=lab.experimenter)[0]
    assert "there is no such session" in wrong[0].details[0]
    for value in ("{", "NaN", '"\\ud800"', '"\\u0000"'):
        cell = value.replace('"', '""')
        nonsense = f'session_start,time,kind,value\n2026-03-02T12:00:00Z,2026-03-02T12:00:01Z,poke,"{cell}"\n'
        assert kinds(line_of(nonsense, "events", by=lab.experimenter)[0]) == ["wrong"], value


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "The file is empty"),
        (b"\xef\xbb\xbf", "holds no names of columns"),
        ("identifier,notes\nR1,Mäuse\n".encode("latin-1"), "not UTF-8: line 2 holds the byte 0xE4"),
        ("identifier\nR1\n".encode("utf-16"), "not UTF-8"),
        (b"identifier,notes\nR1,a\0b\n", "Line 2 holds a NUL"),
        (b'identifier,notes\nR1,"never closed\n', "Line 2 is not CSV"),
        (b'identifier,notes\nR1,"' + b"x" * 200_000 + b'"\n', "Line 2 is not CSV"),
        (b"identifier,weight of tail,notes\nR1,3,x\n", "no column weight of tail in a sheet of animals"),
        (b"identifier,,notes\nR1,3,x\n", "column 2 has no name"),
        (b"identifier,Notes,notes\nR1,3,x\n", "notes is there twice"),
        (b"notes,cage\nx,y\n", "The column identifier is missing"),
        (b"identifier" + b",x" * 300 + b"\n", "at most 200"),
        (b"PK\x03\x04nonsense", "no column"),
        (b"<html></html>", "no column"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_its_place(lab, content, sentence):
    with pytest.raises(LabError, match=sentence):
        send_sheet(by=lab.experimenter, kind="animals", name="a.csv", content=content)
    assert not SheetImport.objects.exists()


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        ({"birth_date": 45000}, "birth_date is the number 45000 (Excel counts 2023-03-15 so)"),
        ({"birth_date": datetime(2026, 1, 2, 3)}, "a day without a time"),  # noqa: DTZ001 - as workbooks have it
        ({"birth_date": "=TODAY()"}, "holds the formula"),
        ({"notes": "=1+1"}, "notes holds the formula =1+1"),
        ({"identifier": True}, ""),
        ({"birth_date": "03/04/2026"}, "write a day as 2026-03-02"),
        ({"birth_date": "2026-02-30"}, "there is no such day"),
        ({"cage": "x" * 65}, "has 65 characters; there is room for 64"),
        ({"notes": "_x0000_"}, "holds a NUL character"),
        ({"notes": "_xD800_"}, "half of a surrogate pair"),
        ({"birth_date": "2026-05-01", "death_date": "2026-04-01", "status": "dead"}, "before the date of birth"),
        ({"death_date": "2026-04-01"}, "has the status dead"),
        ({"responsible": "nobody"}, "names the person 'nobody'"),
        ({"responsible": "experimente"}, "is it experimenter"),
        ({"project": "Other"}, "names the project 'Other', which is not there or not to be seen"),
        ({"sex": "M", None: "beyond"}, "5 cells under 4 columns"),
    ],
)
def test_a_wrong_cell_of_a_workbook_is_named(lab, cells, sentence):
    row = {"identifier": "N1", "project": "Memory", "species": "rat"} | cells
    content = book([name for name in row if name], list(row.values()))
    verdicts, _ = carry_out(by=lab.experimenter, kind="animals", name="a.xlsx", content=content, write=False)
    if sentence:
        assert kinds(verdicts) == ["wrong"]
        assert sentence in "; ".join(verdicts[0].details)
    else:
        assert kinds(verdicts) == ["new"]


def zip_of(**parts: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in parts.items():
            made.writestr(name.replace("__", "/"), content)
    return stream.getvalue()


def test_a_workbook_that_is_none_or_means_harm_is_refused(lab):
    good = book(["identifier", "cage"], ["R214", "7"])

    def changed(part: str, old: bytes, new: bytes) -> bytes:
        with zipfile.ZipFile(io.BytesIO(good)) as parts:
            return zip_of(**{
                name: parts.read(name).replace(old, new) if name == part else parts.read(name)
                for name in parts.namelist()
            })  # fmt: skip

    sheet = "xl/worksheets/sheet1.xml"
    for content, sentence in (
        (b"no zip at all", "no .xlsx workbook"),
        (good[: len(good) // 2], "no .xlsx workbook"),
        (zip_of(a=b"b"), "cannot be read as a workbook"),
        (changed(sheet, b"<worksheet", b"<!DOCTYPE lol [<!ENTITY a 'aaaa'>]><worksheet"), "document type"),
        (changed(sheet, b"<sheetData>", b"<sheetData><row><c"), "damaged"),
        (zip_of(xl__worksheets__a=b"0" * 600_000_000), "unpacks to 600 MB"),
        (book(["identifier"], ["R1"], touch=lambda s: s.merge_cells("A2:B3")), "merged cells"),
        (book(["identifier"], ["R1"], title="one", more=("two",)), r"several sheets \(one, two\)"),
        (book(), "no names of columns"),
    ):
        with pytest.raises(LabError, match=sentence):
            files.read("a.xlsx", content, "animals")
    assert files.read("a.xlsx", good, "animals")[0] == ["identifier", "cage"]
    assert files.read("a.xlsx", book(["identifier"], ["R1"], more=("two",)), "animals")[0] == ["identifier"]
    with pytest.raises(Invalid, match=r"csv or \.xlsx"):
        files.read("a.ods", good, "animals")


def test_a_hundred_thousand_lines_are_bounded_in_memory_and_more_are_refused():
    text = b"identifier,notes\n" + b"".join(b"R%d,quiet\n" % n for n in range(files.MOST_ROWS))
    tracemalloc.start()
    try:
        _, lines = files.read("a.csv", text, "animals")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(lines) == files.MOST_ROWS
    assert peak < 120e6
    with pytest.raises(TooLarge, match="more than 100000 lines"):
        files.read("a.csv", text + b"R,one too many\n", "animals")
    with pytest.raises(TooLarge, match="at most 20 MB"):
        files.read("a.csv", b"x" * (files.MOST_BYTES + 1), "animals")


def test_a_few_queries_compare_a_thousand_lines(lab, django_assert_max_num_queries):
    Animal.objects.bulk_create(
        Animal(identifier=f"M{n}", project=lab.project, species=lab.rat) for n in range(1000)
    )  # fmt: skip
    content = export(lab.viewer, "animals", "csv", {})
    with django_assert_max_num_queries(12):
        verdicts, _ = line_of(content, by=lab.viewer)
    assert count(verdicts) == {"new": 0, "changed": 0, "same": 1001, "wrong": 0}


def test_a_sheet_may_do_what_its_user_may(lab):
    text = "identifier,project,species,cage\nR214,Memory,rat,9\n"
    for by in (lab.viewer, lab.outsider):
        with pytest.raises(Forbidden):
            send_sheet(by=by, kind="animals", name="a.csv", content=text.encode())
    verdicts, _ = line_of(text, by=lab.viewer, write=True)
    assert "You may see this but not change it" in verdicts[0].details[0]
    verdicts, _ = line_of("identifier,cage\nR214,9\n", by=lab.outsider)
    assert verdicts[0].details == ("a new animal needs project and species",)
    assert b"R214" not in export(lab.outsider, "animals", "csv", {})
    with pytest.raises(NotFound):
        export(lab.viewer, "rockets", "csv", {})


def test_a_long_sheet_is_left_to_a_worker_and_written_once(lab, django_capture_on_commit_callbacks):
    text = "identifier,project,species\n" + "".join(f"L{n},Memory,rat\n" for n in range(400))
    sent = send_sheet(by=lab.experimenter, kind="animals", name="long.csv", content=text.encode())
    assert sent.state == "checking"
    with pytest.raises(Conflict, match="being checked"):
        confirm_sheet(by=lab.experimenter, sheet=sent)
    work_on_sheet(str(sent.pk))
    sent.refresh_from_db()
    assert (sent.state, sent.counts["new"], Animal.objects.count()) == ("checked", 400, 1)
    confirm_sheet(by=lab.experimenter, sheet=sent)
    SheetImport.objects.update(changed=NOON)
    assert sweep_sheets() == 1
    work_on_sheet(str(sent.pk))
    work_on_sheet(str(sent.pk))
    sent.refresh_from_db()
    assert sent.state == "imported"
    assert Animal.objects.count() == 401
    made = Animal.objects.get(identifier="L7").history.get()
    assert made.pgh_context.metadata == {"user": lab.experimenter.pk, "url": "spreadsheet long.csv"}
    with pytest.raises(Conflict):
        discard_sheet(by=lab.experimenter, sheet=sent)


def test_what_changed_after_the_check_is_looked_at_again(lab):
    text = b"identifier,project,species\nN1,Memory,rat\nN2,Memory,rat\n"
    sent = send_sheet(by=lab.experimenter, kind="animals", name="a.csv", content=text)
    services.create_animal(by=lab.manager, identifier="N2", project=lab.project, species=lab.rat)
    sent = confirm_sheet(by=lab.experimenter, sheet=sent)
    assert sent.state == "checked"
    assert "changed after the check" in sent.message
    assert sent.counts == {"new": 1, "changed": 0, "same": 1, "wrong": 0}
    assert not Animal.objects.filter(identifier="N1").exists()
    assert confirm_sheet(by=lab.experimenter, sheet=sent).state == "imported"
    assert Animal.objects.filter(identifier="N1").exists()


def test_the_pages_send_show_import_and_discard(lab):
    client = Client()
    client.force_login(lab.experimenter)

    def send(content: bytes, name: str = "colony.csv"):
        return client.post("/sheets/send/", {"kind": "animals", "file": SimpleUploadedFile(name, content)})

    wrong = send(b"identifier,tail\nR1,2\n")
    assert wrong.status_code == 400
    assert b"There is no column tail in a sheet of animals" in wrong.content
    reply = send(b"identifier,project,species,notes\nN1,Memory,rat,<script>alert(1)</script>\nN2,Memory,cat,\n")
    page = client.get(reply["Location"]).content.decode()
    assert "1 line is wrong, so nothing can be imported" in page
    assert "names the species" in page
    assert "<script>alert" not in page
    assert client.post(f"{reply['Location']}import/").status_code == 409
    assert client.get(f"{reply['Location']}?verdict=new").content.count(b"chip-good") == 1
    assert client.post(f"{reply['Location']}discard/")["Location"] == "/sheets/"
    assert not SheetImport.objects.exists()
    reply = send(book(["identifier", "project", "species"], ["N1", "Memory", "rat"]), "colony.xlsx")
    assert b"Import 1 line<" in client.get(reply["Location"]).content
    assert client.post(f"{reply['Location']}import/").status_code == 302
    assert b"All of it was written" in client.get(reply["Location"]).content
    assert Animal.objects.get(identifier="N1").species == lab.rat
    taken = client.get("/sheets/take/animals.csv?project=Memory")
    assert taken["Content-Disposition"].startswith('attachment; filename="animals-')
    assert b"N1" in taken.content
    assert client.get("/sheets/take/animals.csv?empty=1").content.startswith(b"\xef\xbb\xbfidentifier,project")
    assert client.get("/sheets/take/animals.csv?project=Other").status_code == 400
    assert client.get("/sheets/take/animals.pdf").status_code == 404
    assert client.get("/sheets/take/rockets.csv").status_code == 404
    assert client.get(f"/sheets/take/events.csv?session={lab.session.pk}").status_code == 200


def test_the_commands_export_check_and_write(lab, tmp_path):
    file, said = tmp_path / "animals.xlsx", io.StringIO()
    call_command("export_sheet", "animals", str(file), "--by", "viewer", stdout=said)
    call_command("import_sheet", "animals", str(file), "--by", "experimenter", stdout=said)
    assert "0 new, 0 changed, 1 same, 0 wrong" in said.getvalue()
    more = tmp_path / "more.csv"
    more.write_text("identifier,project,species\nN1,Memory,rat\n")
    call_command("import_sheet", "animals", str(more), "--by", "experimenter", stdout=said)
    assert "line 2: new N1" in said.getvalue()
    assert not Animal.objects.filter(identifier="N1").exists()
    call_command("import_sheet", "animals", str(more), "--by", "experimenter", "--write", stdout=said)
    assert Animal.objects.filter(identifier="N1").exists()
    more.write_text("identifier,project,species\nN2,Memory,cat\n")
    for by, sentence in (("experimenter", "1 lines are wrong"), ("stranger", "no active user")):
        with pytest.raises(CommandError, match=sentence):
            call_command("import_sheet", "animals", str(more), "--by", by, "--write", stdout=said)


def test_a_shuffled_file_with_fewer_columns_says_the_same(filled):
    header, lines = files.read("a.csv", export(filled.manager, "animals", "csv", {}), "animals")
    order = random.Random(3).sample(range(len(header)), 8)
    order = order if header.index("identifier") in order else [header.index("identifier"), *order]
    rows = [[(*line.cells, *[None] * len(header))[place] for place in order] for line in lines]
    random.Random(4).shuffle(rows)
    content = files.write_csv([header[place].upper().replace("_", " ") for place in order], rows)
    verdicts, _ = line_of(content, by=filled.manager)
    assert set(kinds(verdicts)) == {"same"}
