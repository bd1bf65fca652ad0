"""Source code: definitions of each language, their places, and programs that are broken."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from search_engine.ingest.formats import code
from search_engine.ingest.formats.code import find_definitions, outline_code, read_code
from search_engine.ingest.formats.grammars import has_grammar, load_definitions
from search_engine.ingest.readers import readers
from tests.ingest.reading import read_bytes, read_one

PYTHON = '''\
import os  # ü 😀

# What it is for:
# two lines.
@decorate("ä")
class Outer(Base):
    """Documented."""

    ONE = 1

    # Above.
    @property
    def first(self):
        return "漢字"  # trailing

    class Inner:
        async def deep(self): pass  # ü

    # Between.

def free():
    def nested():
        return lambda: 1
    return nested
x = free()
'''


def summarise(text: str, language: str) -> list[tuple[int, str, str, str]]:
    return [
        (d.level, d.title, text[d.start : d.end].splitlines()[0], text[d.start : d.end][-9:])
        for d in find_definitions(text, language)
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_python(end: str) -> None:
    text = PYTHON.replace("\n", end)
    definitions = find_definitions(text, "python")
    assert [(d.level, d.title, d.is_function) for d in definitions] == [
        (1, "Outer", False),
        (2, "first", True),
        (2, "Inner", False),
        (3, "deep", True),
        (1, "free", True),
        (2, "nested", True),
    ]
    outer, first, inner, deep, free, nested = (text[d.start : d.end] for d in definitions)
    assert outer.startswith(f"# What it is for:{end}# two lines.{end}@decorate")
    assert first == (
        f"    # Above.{end}    @property{end}    def first(self):{end}"
        '        return "漢字"  # trailing'
    )
    assert inner == f"    class Inner:{end}{deep}"
    assert deep == "        async def deep(self): pass  # ü"
    assert free.endswith(f"{nested}{end}    return nested")
    assert [text[d.name_line :].split("(")[0].split(":")[0].strip() for d in definitions] == [
        "class Outer", "def first", "class Inner", "async def deep", "def free", "def nested"
    ]  # fmt: skip


def test_the_outline_closes_what_ends() -> None:
    headings = outline_code(PYTHON, "python")
    assert [(heading.level, heading.title) for heading in headings] == [
        (1, "Outer"), (2, "first"), (2, ""), (2, "Inner"), (3, "deep"), (3, ""), (2, ""), (1, ""),
        (1, "free"), (2, "nested"), (2, ""), (1, ""),
    ]  # fmt: skip
    starts = [heading.start for heading in headings]
    assert starts == sorted(starts)
    assert PYTHON[starts[-1] :] == "\nx = free()\n"


CASES = {
    "bash": ("# c\nf() {\n  echo\n}\nfunction g { :; }\n", [(1, "f"), (1, "g")]),
    "c": (
        "struct S { int a; };\ntypedef struct { int b; } T;\nstatic int *f(int x) { return 0; }\n"
        "int g(void);\nenum E { A };\nunion U { int i; };\ntypedef struct N { int c; } M;\n",
        [(1, "S"), (1, "T"), (1, "f"), (1, "E"), (1, "U"), (1, "N")],
    ),
    "cpp": (
        "namespace n {\ntemplate<class T>\nclass A : B {\n public:\n  ~A() {}\n  int& f() { }\n"
        "  int g();\n};\n}\nint n::A::g() { return 1; }\nbool operator==(A a, A b) { }\n"
        "template<class T> T h(T t) { }\n",
        [(1, "n"), (2, "A"), (3, "~A"), (3, "f"), (1, "n::A::g"), (1, "operator=="), (1, "h")],
    ),
    "csharp": (
        "namespace N.M {\n [A]\n public class C<T> : D {\n  public C() {}\n  [B] void M() {}\n"
        "  int P => 1;\n  int E() => 2;\n  ~C() {}\n }\n interface I { void m(); }\n struct S {}\n"
        " record R(int x);\n enum E { a }\n}\n",
        [
            (1, "N.M"), (2, "C"), (3, "C"), (3, "M"), (3, "E"), (3, "C"), (2, "I"), (2, "S"),
            (2, "R"), (2, "E"),
        ],
    ),
    "go": (
        "package p\n\ntype A struct { x int }\n\nfunc (s *A) Run(x int) {}\n\ntype (\n\tB int\n"
        "\tC interface{ M() }\n)\n\nfunc main() { f := func() {} }\n",
        [(1, "A"), (1, "A.Run"), (1, "B"), (1, "C"), (1, "main")],
    ),
    "java": (
        "package a;\n/** Doc. */\n@X\npublic class C<T> {\n  C() {}\n  // about\n  @Override\n"
        "  void m() {}\n  abstract void n();\n  enum E { A }\n  interface I { void q(); }\n"
        "  record R(int x) { R {} }\n}\n@interface An {}\n",
        [
            (1, "C"), (2, "C"), (2, "m"), (2, "E"), (2, "I"), (2, "R"), (3, "R"), (1, "An"),
        ],
    ),
    "javascript": (
        "export default class A {\n  m() {}\n  x = () => 1;\n}\nconst f = async (x) => 1;\n"
        "exports.g = function() {};\nexport const h = function*() {};\nvar o = {\n"
        "  k: function() {},\n  l() {},\n};\nexport function i() {}\nfunction* j() {}\n"
        "const K = class {};\nlist.map(x => x);\n",
        [
            (1, "A"), (2, "m"), (2, "x"), (1, "f"), (1, "exports.g"), (1, "h"), (1, "k"),
            (1, "l"), (1, "i"), (1, "j"), (1, "K"),
        ],
    ),
    "php": (
        "<?php\nnamespace A\\B;\n#[X]\nclass C extends D {\n  /** d */\n  public function f() {}\n"
        "  abstract function g();\n}\ninterface I { function g(); }\ntrait T {}\nenum E {}\n"
        "function h() {}\n",
        [(1, "C"), (2, "f"), (1, "I"), (1, "T"), (1, "E"), (1, "h")],
    ),
    "ruby": (
        "module M\n  class A < B\n    def self.x; end\n    def y(a)\n    end\n  end\nend\n",
        [(1, "M"), (2, "A"), (3, "x"), (3, "y")],
    ),
    "rust": (
        "/// doc\n#[derive(A)]\npub struct S<T> { a: T }\nimpl<T> Display for S<T> {\n"
        "    fn f(&self) {}\n}\nimpl S<u8> {}\ntrait Q { fn g(); fn h() {} }\nmod m { fn x() {} }\n"
        "mod elsewhere;\nmacro_rules! z { () => {} }\nenum E { A }\nunion U { a: u8 }\n",
        [
            (1, "S"), (1, "Display for S<T>"), (2, "f"), (1, "S<u8>"), (1, "Q"), (2, "h"),
            (1, "m"), (2, "x"), (1, "z"), (1, "E"), (1, "U"),
        ],
    ),
    "typescript": (
        "@Dec()\nexport class A<T> {\n  @x()\n  m(): void {}\n  private n = () => 1;\n}\n"
        "export abstract class B { abstract f(): void }\ninterface I { m(): void }\nenum E { a }\n"
        "namespace N { function f() {} }\ndeclare module 'x' { function g(): void }\n"
        "export const c = (a: number): number => a;\n",
        [
            (1, "A"), (2, "m"), (2, "n"), (1, "B"), (1, "I"), (1, "E"), (1, "N"), (2, "f"),
            (1, "'x'"), (1, "c"),
        ],
    ),
    "tsx": (
        "function App(): Element {\n  return <div onClick={() => 1}>Hi</div>;\n}\n"
        "const P = () => <b/>;\n",
        [(1, "App"), (1, "P")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("language", CASES)
def test_definitions_of_each_language(language: str) -> None:
    text, expected = CASES[language]
    assert [(d.level, d.title) for d in find_definitions(text, language)] == expected
    # With other characters than ASCII before it, and behind a comment that says so.
    mark = "#" if language in {"bash", "ruby"} else "//"
    if language != "php":
        longer = f"{mark} ü 😀 漢字\n\n{text}"
        offset = len(longer) - len(text)
        assert [(d.start - offset, d.end - offset) for d in find_definitions(longer, language)] == [
            (d.start, d.end) for d in find_definitions(text, language)
        ]


def test_what_stands_directly_above_belongs_to_it() -> None:
    assert summarise(CASES["java"][0], "java")[0][2] == "/** Doc. */"
    assert summarise(CASES["java"][0], "java")[2][2] == "  // about"
    assert summarise(CASES["rust"][0], "rust")[0][2] == "/// doc"
    assert summarise(CASES["php"][0], "php")[1][2] == "  /** d */"
    assert summarise(CASES["typescript"][0], "typescript")[:2] == [
        (1, "A", "@Dec()", "() => 1;\n}"[-9:]),
        (2, "m", "  @x()", "): void {}"[-9:]),
    ]
    text = (
        "int a; // not of f\nint f() { }\n\n/* far */\n\n/* near */\nint g() { } // behind\n"
        "int b;\n"
    )
    assert summarise(text, "c") == [
        (1, "f", "int f() { }", "t f() { }"), (1, "g", "/* near */", "// behind")
    ]  # fmt: skip


def test_two_names_of_one_declaration_are_one_definition() -> None:
    assert summarise("const a = () => 1, b = () => 2;\n", "javascript") == [
        (1, "a", "const a = () => 1, b = () => 2;", " () => 2;")
    ]


def test_long_names_are_cut() -> None:
    (definition,) = find_definitions(f"def {'x' * 5000}(): pass", "python")
    assert definition.title == "x" * 99 + "…"


def test_broken_programs_have_the_rest() -> None:
    text = (
        "def one():\n    return (1,\n\nclass Two:\n    def three(self):\n        pass\n\n}}} $$\n"
    )
    assert "three" in [d.title for d in find_definitions(text, "python")]
    assert find_definitions("", "python") == ()
    assert find_definitions("}}}}} def", "java") == ()
    # Beyond so many signs in a row nobody looks for definitions any more.
    assert [d.title for d in find_definitions("def f(): pass\n" + "(" * 1_000, "python")] == ["f"]
    assert find_definitions("def f(): pass\n" + "(" * 3_000, "python") == ()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("text", "language", "count"),
    [
        ("(" * 100_000, "python", 0),
        ("{" * 100_000, "c", 0),
        ("[" * 50_000 + "]" * 50_000, "javascript", 0),
        ("function f(){" * 20_000 + "}" * 20_000, "javascript", 20),
        ("var a=function(b,c){return b+c};" * 10_000, "javascript", 10_000),
        ("def f(x):\n    return 'ü'\n\n" * 10_000, "python", 10_000),
        ("# line\n" * 50_000 + "def f(): pass\n", "python", 1),
    ],
)
def test_generated_programs_are_read_to_their_end(text: str, language: str, count: int) -> None:
    assert len(find_definitions(text, language)) == count


snippets = st.sampled_from(
    ["def f(x):\n    return 1\n", "class A:\n", "    def m(self):\n        pass\n", "# ü 😀\n",
     "@d\n", "x = 1\n", "\n", "\r\n", "    y = 'ü'\n", "}", "(", '"""', "漢 = 1 # c\n", "\tif x:\n",
     "def g(): pass # 😀\n", "\x00", "\x0c", "lambda: (\n"]
)  # fmt: skip


@example(
    [
        "export default class A:\n",
        "    def m(self):\n        pass\n",
        "    # in\n",
        "def f(): pass\n",
    ],
    "python",
)
@given(st.lists(snippets, max_size=25), st.sampled_from(["python", "ruby", "javascript", "cpp"]))
@settings(max_examples=200, deadline=None)
def test_definitions_nest(parts: list[str], language: str) -> None:
    text = "".join(parts)
    around: list[tuple[int, int]] = []
    previous = 0
    for definition in find_definitions(text, language):
        assert previous <= definition.start <= definition.name_line < definition.end <= len(text)
        previous = definition.start
        while around and around[-1][1] <= definition.start:
            around.pop()
        assert definition.level == len(around) + 1
        assert all(start <= definition.start and definition.end <= end for start, end in around)
        around.append((definition.start, definition.end))


def find_by_ast(source: str) -> list[tuple[int, str, int]]:
    """Level, name and the line of `def` or `class`, as Python's own parser has them."""
    found = []

    def visit(node: ast.AST, level: int) -> None:
        for child in ast.iter_child_nodes(node):
            kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
            if isinstance(child, kinds):
                found.append((level, child.name, child.lineno))
                visit(child, level + 1)
            else:
                visit(child, level)

    visit(ast.parse(source), 1)
    return sorted(found, key=lambda entry: entry[2])


LIBRARY = Path(ast.__file__).parent


@pytest.mark.parametrize("name", ["argparse", "typing", "tarfile", "email/header", "asyncio/tasks"])
def test_the_standard_library_as_pythons_own_parser_has_it(name: str) -> None:
    text = (LIBRARY / f"{name}.py").read_text(encoding="utf-8")
    assert [
        (d.level, d.title, text.count("\n", 0, d.name_line) + 1)
        for d in find_definitions(text, "python")
    ] == find_by_ast(text)


def test_reading(tmp_path: Path) -> None:
    data = "\ufeffdef f():\r\n    'ü'\r\n".encode()
    document = read_one(tmp_path, "Tool.PY", data)
    assert (document.text, document.title, document.markup, document.first_line) == (
        "def f():\r\n    'ü'\r\n", "Tool.PY", "code/python", 1
    )  # fmt: skip
    (document,), (problem,) = read_bytes(tmp_path, "a.c", "// öäüß öäüß\n".encode() + b"\xff\n")
    assert (document.markup, problem.line) == ("code/c", 2)


def test_every_extension_of_code_has_a_grammar() -> None:
    extensions = [name for name in readers.names() if readers.get(name) is read_code]
    assert sorted(code._LANGUAGES) == sorted(extensions)
    for language in set(code._LANGUAGES.values()):
        assert has_grammar(language)
        assert load_definitions(language).pattern_count > 0
    assert not has_grammar("cobol")
