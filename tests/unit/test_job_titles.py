"""Job titles: what the built-in table says, how a ruleset adds its own, and what `scorer check` finds in them."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scorer.cli import app
from scorer.offline.ruleset_files import load_job_titles, load_ruleset
from scorer.rules.finding import RulesetError
from scorer.sources.company.converter import Unfit
from scorer.sources.company.job_titles import FILE, JobTitles, built_in_job_titles, parse_job_titles
from tests.factory import SMALL_RULES

RULES = Path(__file__).parents[2] / "rules"
BUILT_IN = built_in_job_titles()

LEVELS = {
    "executive": """
        Geschäftsführer; Geschäftsführerin; Geschäftsführer/in; Geschäftsführer:in (m/w/d); GeschäftsführerIn;
        Geschaeftsfuehrer; GESCHÄFTSFÜHRER; Geschäftsführender Gesellschafter; CEO; C.E.O.; CFO; Founder & CEO;
        Co-Founder; Mitgründerin; Inhaber; Inhaberin; Owner; Managing Director; President; Chief Revenue
        Officer; Vorstand; Vorständin Finanzen; Mitglied des Vorstands (Vorstand); Prokurist; Managing Partner;
        Chairman of the Board; Hauptgeschäftsführerin; Vorstandssprecherin; Aufsichtsratsvorsitzender;
        Oberbürgermeister
        """,
    "director": """
        Head of Marketing; VP Sales; V.P. of Sales; Vice President, Finance; SVP Operations; Director of
        Operations; Leiter (m/w/d) Vertrieb; Leiterin Marketing; Leiter/-in IT; IT-Leiter; Vertriebsleiter;
        Vertriebsleiterin DACH; Marketingleitung; Bereichsleiter; Technischer Leiter; LeiterIn Personal;
        Werkleiter; Direktorin; Sales Director; Head of Student Services; General Manager; Chief of Staff;
        Abteilungsleiter; Abteilungsleitung Rechnungswesen; Leiterin Einkauf; Leiter der Abteilung Einkauf; Head
        of Department; Referatsleiterin; Schulleiter; Schulleitung; Niederlassungsleiter; Personalleiter;
        Stellv. Abteilungsleiterin
        """,
    "manager": """
        Marketing Manager; Produktmanagerin; Teamleiter Einkauf; Team Lead; Projektleiter; Project Manager;
        Assistant Manager; Gruppenleiterin; Tech Lead; Supervisor; Partner Manager; Teilprojektleiterin;
        Vertriebsteamleiter; Arbeitsgruppenleiter; Baumarktleiter; Marktleitung; Schichtleitung; Branch Manager;
        Bauleitung; Handwerksmeister
        """,
    "employee": """
        Assistant to the CEO; Executive Assistant to the Managing Director; Assistenz der Geschäftsführung;
        Vorstandsassistentin; Sekretärin des Vorstands; Referentin der Geschäftsleitung; Personal Assistant; PA
        to CFO; Senior Software Engineer; Key Account Manager; Office Manager; Product Owner; HR Business
        Partner; Sachbearbeiter/in Buchhaltung; Bürokauffrau; Angestellte/r; Rechtsanwältin; Lehrerin;
        Professor; Unternehmensberater; Junior Consultant; IT-Administrator; Controller;
        Datenschutzbeauftragter; Vertriebsmitarbeiterin im Innendienst; Hausmeister; Art Director; Scrum Master;
        Receptionist; Mitarbeiterin Empfang
        """,
    "student": """
        Werkstudent; Werkstudentin im Marketing; Working Student Product Management; Praktikantin
        Geschäftsführung; Intern; Student; Studentin; Auszubildende; Azubi zum Industriekaufmann; Trainee Sales;
        PhD Student; Doktorandin
        """,
}  # fmt: skip

DEPARTMENTS = {
    "sales": "Vertriebsleiter; VP Sales; Leiter (m/w/d) Vertrieb; Key Account Manager; Chief Revenue Officer; "
    "Außendienstmitarbeiterin",
    "marketing": "Head of Marketing; Marketingleiterin; CMO; Product Marketing Manager; Social Media Manager",
    "it": "IT-Leiter; Leiter IT; CIO; Head of IT Operations; Systemadministrator; Informatikerin",
    "engineering": "CTO; Software Developer; Senior Software Engineer; Entwicklungsleiter; Technischer Leiter",
    "finance": "CFO; Sachbearbeiter/in Buchhaltung; Controller; Head of Finance; Finanzbuchhalterin; Buchhaltung",
    "hr": "Personalleiterin; HR Business Partner; Head of People; Recruiterin; Leitung Personal",
    "legal": "General Counsel; Rechtsanwältin; Datenschutzbeauftragter; Compliance Manager",
    "procurement": "Teamleiter Einkauf; Einkäufer; Head of Procurement; Strategische Einkäuferin",
    "operations": "COO; Werkleiter; Produktionsleiter; Supply Chain Manager; Logistikleiterin; Director of Operations; "
    "Project Manager; Projektmanagerin",
    "product": "Product Owner; Produktmanagerin; VP Product",
    "research": "Wissenschaftliche Mitarbeiterin; Head of R&D; Leiter Forschung und Entwicklung",
    "customer_service": "Customer Success Manager; Kundenberater; Leitung Kundenservice",
    "education": "Lehrerin; Professor; Dozentin; Schulleiterin",
    "management": "CEO; Geschäftsführerin; Managing Director; Founder; Assistenz der Geschäftsführung; "
    "Hauptgeschäftsführer; Aufsichtsratsvorsitzende",
}  # fmt: skip


def titles(groups: dict[str, str]) -> list[tuple[str, str]]:
    return [(title, name) for name, written in groups.items() for title in re.split(r";\s+", written.strip())]


@pytest.mark.parametrize(("title", "level"), titles(LEVELS))
def test_a_title_has_a_level(title: str, level: str) -> None:
    assert BUILT_IN.job_level(title) == level


@pytest.mark.parametrize(("title", "department"), titles(DEPARTMENTS))
def test_a_title_has_a_department(title: str, department: str) -> None:
    assert BUILT_IN.department(title) == department


@pytest.mark.parametrize(
    ("value", "reason"),
    [("Ninja", "not_a_choice"), ("(m/w/d)", "not_a_choice"), ("ceos", "not_a_choice"), ("x" * 257, "too_long"),
     (7, "wrong_type"), (["CEO"], "wrong_type")],
)  # fmt: skip
def test_a_title_without_a_known_word_is_refused(value: object, reason: str) -> None:
    for convert in (BUILT_IN.job_level, BUILT_IN.department):
        with pytest.raises(Unfit) as caught:
            convert(value)
        assert caught.value.reason == reason
        assert convert(None) is convert(" ") is None


def own(text: str) -> JobTitles:
    return parse_job_titles(FILE, text.encode())


def test_own_titles_come_before_the_built_in_ones() -> None:
    table = own(
        "levels:\n  - {level: manager, titles: [ceo, feel good]}\ndepartments: [{department: joy, titles: [feel*]}]"
    )
    assert table.job_level("CEO") == "manager"
    assert table.job_level("CFO") == "executive"
    assert table.job_level("Feel-Good-Beauftragte") == "manager"
    assert table.department("Feelgood-Beauftragte") == "joy"
    assert table.department("Head of Sales") == "sales"


def test_the_built_in_titles_can_be_left_out() -> None:
    table = own("built_in: false\nlevels:\n  - {level: manager, titles: [boss]}\n")
    assert table.job_level("The Boss") == "manager"
    with pytest.raises(Unfit):
        table.job_level("CEO")


def test_the_longest_title_is_found_first_and_then_the_first_group_decides() -> None:
    table = own(
        "built_in: false\nlevels:\n  - {level: executive, titles: [president, owner]}\n"
        "  - {level: director, titles: [vice president]}\n  - {level: employee, titles: [assistant, '*owner']}\n"
    )
    assert table.job_level("Vice President") == "director"
    assert table.job_level("Vice President and Owner") == "executive"
    assert table.job_level("Assistant to the Vice President") == "director"
    assert table.job_level("Coowner") == "employee"


STAR = "a star stands for letters at the start or at the end of a single word, as in `*leiter`"
LEVEL = "levels:\n  - {level: manager, "
MISTAKES = {
    "levels: [{level: chief, titles: [a]}]": "1:18: error: `level` must be 'student', 'employee', 'manager', ",
    "level: []": "1:1: error: unknown key `level`; did you mean levels?",
    LEVEL + "title: [a], titles: [b]}": "2:22: error: unknown key `title`; did you mean titles?",
    "levels:\n  - {level: manager}": "2:5: error: `titles` is missing",
    LEVEL + "titles: []}": "2:30: error: `titles` must not be empty",
    LEVEL + "titles: ['(m/w/d)']}": "2:31: error: a title needs a letter or a digit",
    "departments:\n  - department: x\n    titles: [a b c d e f g]": "3:14: error: a title can have at most 6 words",
    LEVEL + "titles: ['a*b']}": f"2:31: error: {STAR}",
    LEVEL + "titles: ['*head of']}": f"2:31: error: {STAR}",
    LEVEL
    + "titles: [Co-Head]}\n  - {level: director, titles: [cto, co head]}": "3:37: error: `co head` is given twice",
    "departments: [{department: x, titles: [7]}]": "1:40: error: `titles` must be a valid string, not 7",
    "[]": "1:1: error: a table of job titles is a mapping with `levels` and `departments`",
    "levels: [": "1:10: error: not valid YAML: ",
}


@pytest.mark.parametrize(("text", "finding"), MISTAKES.items())
def test_a_mistake_is_found_with_its_place(text: str, finding: str) -> None:
    with pytest.raises(RulesetError) as caught:
        own(text)
    assert finding in str(caught.value.findings[0])


def folder(tmp_path: Path, text: str | None) -> Path:
    (tmp_path / "small.yaml").write_text(SMALL_RULES)
    if text is not None:
        (tmp_path / FILE).write_text(text)
    return tmp_path


def test_the_table_is_no_rule_file_and_not_part_of_the_revision(tmp_path: Path) -> None:
    before = load_ruleset(folder(tmp_path, None)).revision
    assert load_job_titles(tmp_path).job_level("CEO") == "executive"
    rules = folder(tmp_path, "levels: [{level: student, titles: [ceo]}]")
    assert load_ruleset(rules).revision == before
    for location in (rules, rules / "small.yaml"):
        assert load_job_titles(location).job_level("CEO") == "student"


def test_check_shows_the_mistake_and_its_line(tmp_path: Path) -> None:
    rules = folder(tmp_path, "levels:\n  - {level: manager, titel: [a]}\n")
    result = CliRunner().invoke(app, ["check", str(rules)])
    assert result.exit_code == 1
    assert f"{rules / FILE}:2:22: error[unknown-key]: unknown key `titel`; did you mean titles?" in result.output
    assert "- {level: manager, titel: [a]}" in result.output
    result = CliRunner().invoke(app, ["check", str(folder(tmp_path, "levels: []\n"))])
    assert result.exit_code == 0
    assert "\nok: " in result.output


def test_check_says_if_the_table_cannot_be_read(tmp_path: Path) -> None:
    rules = folder(tmp_path, None)
    (rules / FILE).mkdir()
    result = CliRunner().invoke(app, ["check", str(rules)])
    assert result.exit_code == 1
    assert f"{rules / FILE}:1:1: error[unreadable]: cannot be read: " in result.output


def test_the_delivered_tables_add_to_the_built_in_one() -> None:
    b2b, education = (load_job_titles(RULES / name) for name in ("b2b", "education"))
    assert (b2b.job_level("Fuhrparkleiterin"), b2b.department("Fuhrparkleiterin")) == ("manager", "operations")
    assert education.job_level("Career Changer") == "student"
    assert b2b.job_level("CEO") == education.job_level("CEO") == "executive"
