"""`ai-proxy docs`: the pages of this repository are up to date, and the command on other folders."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from mitm_ai_proxy import registry
from mitm_ai_proxy.commands import docs, main
from mitm_ai_proxy.commands.command_line import COMMANDS
from tests.auth.service_account import key_file

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
PACKAGE = ROOT / "addon" / "mitm_ai_proxy"

BEGIN, END = "<!-- generated: {} -->\n", "<!-- end -->\n"


def _page(*names: str, content: str = "old\n") -> str:
    return "# Title\n\n" + "\nbetween\n".join(BEGIN.format(name) + content + END for name in names) + "\nthe end\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a page that has every table, all of them stale, and a page without tables."""
    (tmp_path / "all.md").write_text(_page(*docs.TABLES))
    (tmp_path / "none.md").write_text("# None\n")
    return tmp_path


# The pages of this repository


def test_no_generated_table_of_the_pages_is_stale(capsys: pytest.CaptureFixture[str]) -> None:
    status = main.main(["docs", "--check", str(ROOT / "docs")])

    assert (status, capsys.readouterr().err) == (0, "")


def _links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if not re.match(r"[a-z]+:", target):
                yield page, target


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to headings: in lower case, without punctuation, with hyphens for spaces."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ +(.+?) *$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_between_the_pages_leads_to_a_file_and_a_heading() -> None:
    broken = []
    for page, target in _links():
        path, _, anchor = unquote(target).partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            broken.append(f"{page.relative_to(ROOT)}: {target}")

    assert broken == []
    assert len(list(_links())) > 50


def test_the_readme_names_every_page() -> None:
    linked = {(ROOT / target).resolve() for page, target in _links() if page.name == "README.md"}

    assert set(PAGES[1:]) <= linked


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_configuration_that_a_page_shows_can_be_read(page: Path) -> None:
    environment = dict.fromkeys(
        [
            *("OPENAI_KEY_1", "OPENAI_KEY_2", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GROQ_API_KEY"),
            *(
                "KLING_API_KEY",
                "OTHER_KLING_API_KEY",
                "API_302_KEY",
                "NEW_API_KEY",
                "KILOCODE_API_KEY",
                "MOONSHOT_API_KEY",
            ),
        ],
        "key",
    )
    for number, name in enumerate(("WEB_SHOP_TOKEN", "NIGHT_TOKEN", "NIGHT_TOKEN_OLD")):
        environment[name] = f"token-of-client-{number}"
    environment["GOOGLE_KEY"] = key_file()
    for text in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE):
        registry.read(text, environment)


def _refusal_codes() -> set[str]:
    return {
        keyword.value.value
        for file in PACKAGE.glob("**/*.py")
        if "Refusal(" in (text := file.read_text())
        for call in ast.walk(ast.parse(text))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Refusal"
        for keyword in call.keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str)
    }


def test_every_code_of_a_refusal_is_explained() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    explained = set(re.findall(r"^\| \d+ \| `(\w+)` \|", page, flags=re.MULTILINE))

    assert explained == _refusal_codes()


def test_every_command_is_explained() -> None:
    page = (ROOT / "docs" / "modes.md").read_text()

    assert [word for word in COMMANDS if word != "start" and f"`./run.sh {word}" not in page] == []


def test_every_room_is_explained() -> None:
    page = (ROOT / "docs" / "contributing.md").read_text()
    explained = set(re.findall(r"^\| `(\w+)/` \|", page, flags=re.MULTILINE))

    assert explained == {file.parent.name for file in PACKAGE.glob("*/__init__.py")}


# The command


def test_check_names_the_stale_page_and_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folder / "all.md").read_text()

    assert docs.main(["--check", str(folder)]) == 1
    assert capsys.readouterr() == (
        "",
        f"ai-proxy: {folder / 'all.md'}: a generated table is stale; run ai-proxy docs\n",
    )
    assert (folder / "all.md").read_text() == before


def test_tables_are_written_and_all_else_stays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert docs.main([str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder / 'all.md'}: written\n"
    assert docs.main(["--check", str(folder)]) == 0

    text = (folder / "all.md").read_text()
    for name, made in docs.TABLES.items():
        assert BEGIN.format(name) + made() + END in text
        text = text.replace(made(), "old\n")
    assert text == _page(*docs.TABLES)


def test_the_folder_is_docs_unless_another_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "docs").mkdir()
    (folder / "all.md").rename(folder / "docs" / "all.md")
    monkeypatch.chdir(folder)

    assert main.main(["docs"]) == 0
    assert capsys.readouterr().out == "docs/all.md: written\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (_page(*docs.TABLES, "modles"), "unknown table modles (known: types, "),
        (_page(*docs.TABLES) + BEGIN.format("types"), "<!-- generated: types --> has no <!-- end -->"),
        (_page(*docs.TABLES).replace(END, "", 1), "<!-- generated: types --> has no <!-- end -->"),
        (_page(*list(docs.TABLES)[1:]), "no page has the table types"),
    ],
)
def test_a_page_that_cannot_be_filled_in_is_named_and_nothing_is_written(
    text: str, says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "all.md").write_text(text)

    assert docs.main([str(folder)]) == 1
    assert capsys.readouterr().err.startswith(f"ai-proxy: {folder}")
    assert docs.main(["--check", str(folder)]) == 1
    assert says in capsys.readouterr().err
    assert (folder / "all.md").read_text() == text


def test_a_folder_without_pages_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert docs.main([str(tmp_path / "absent")]) == 1
    assert capsys.readouterr().err == f"ai-proxy: {tmp_path / 'absent'}: holds no pages (*.md)\n"


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    assert docs.table(["a", "b"], [["x|y", "z"]]) == "| a | b |\n| --- | --- |\n| x\\|y | z |\n"
