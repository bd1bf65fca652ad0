"""The grammars of programming languages, and which of their nodes are definitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from time import thread_time
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Language, Node, Query, Tree

# Hardly anyone wrote a program that is longer.
_MAX_BYTES = 400_000
# A hundred of the parser's operations are a step, and so is a slice that it reads. Ordinary
# programs take up to 25 steps for 1,000 bytes, minified ones included; `a<a<a<` takes C++ 100, of
# 30 KB each.
_BYTES_PER_STEP = 32
_SPARE_STEPS = 1_000
_SLICE = 1_024
# Seconds of computing. A step is long only where nothing is a program, as in pages of `1a:1a:`.
_MAX_TIME = 5.0
_MAX_SIGNS = 2_000

_PYTHON = """
(class_definition name: (_) @name) @class
(function_definition name: (_) @name) @function
(decorated_definition definition: (class_definition name: (_) @name)) @class
(decorated_definition definition: (function_definition name: (_) @name)) @function
(comment) @above
"""
_JAVASCRIPT = """
(class_declaration name: (_) @name) @class
(export_statement declaration: (class_declaration name: (_) @name)) @class
(variable_declarator name: (_) @name value: (class)) @class
(function_declaration name: (_) @name) @function
(generator_function_declaration name: (_) @name) @function
(export_statement declaration: (function_declaration name: (_) @name)) @function
(export_statement declaration: (generator_function_declaration name: (_) @name)) @function
(method_definition name: (_) @name) @function
(_ (variable_declarator name: (_) @name
    value: [(arrow_function) (function_expression) (generator_function)])) @function
(export_statement declaration: (_ (variable_declarator name: (_) @name
    value: [(arrow_function) (function_expression) (generator_function)]))) @function
(expression_statement (assignment_expression left: (_) @name
    right: [(arrow_function) (function_expression) (generator_function)])) @function
(pair key: (_) @name
    value: [(arrow_function) (function_expression) (generator_function)]) @function
(comment) @above
(decorator) @above
"""
_JAVASCRIPT_FIELDS = """
(field_definition property: (_) @name value: [(arrow_function) (function_expression)]) @function
"""
_TYPESCRIPT = """
(public_field_definition name: (_) @name
    value: [(arrow_function) (function_expression)]) @function
(abstract_class_declaration name: (_) @name) @class
(interface_declaration name: (_) @name) @class
(enum_declaration name: (_) @name) @class
(internal_module name: (_) @name body: (_)) @class
(module name: (_) @name body: (_)) @class
(export_statement declaration: [
    (abstract_class_declaration name: (_) @name) (interface_declaration name: (_) @name)
    (enum_declaration name: (_) @name) (internal_module name: (_) @name)]) @class
(ambient_declaration (module name: (_) @name body: (_))) @class
"""
_JAVA = """
(class_declaration name: (_) @name) @class
(interface_declaration name: (_) @name) @class
(enum_declaration name: (_) @name) @class
(record_declaration name: (_) @name) @class
(annotation_type_declaration name: (_) @name) @class
(method_declaration name: (_) @name body: (_)) @function
(constructor_declaration name: (_) @name) @function
(compact_constructor_declaration name: (_) @name) @function
(line_comment) @above
(block_comment) @above
"""
_GO = """
(type_declaration . (type_spec name: (_) @name) .) @class
(type_spec name: (_) @name) @class
(function_declaration name: (_) @name) @function
(method_declaration receiver: (parameter_list (parameter_declaration type: (_) @owner))
    name: (_) @name) @function
(comment) @above
"""
_RUST = """
(struct_item name: (_) @name) @class
(enum_item name: (_) @name) @class
(union_item name: (_) @name) @class
(trait_item name: (_) @name) @class
(impl_item trait: (_)? @trait type: (_) @name) @class
(mod_item name: (_) @name body: (_)) @class
(function_item name: (_) @name) @function
(macro_definition name: (_) @name) @function
(line_comment) @above
(block_comment) @above
(attribute_item) @above
"""
_C = """
(struct_specifier name: (_) @name body: (_)) @class
(union_specifier name: (_) @name body: (_)) @class
(enum_specifier name: (_) @name body: (_)) @class
(type_definition type: [
    (struct_specifier name: (_) @name body: (_)) (union_specifier name: (_) @name body: (_))
    (enum_specifier name: (_) @name body: (_))]) @class
(type_definition type: [
    (struct_specifier !name body: (_)) (union_specifier !name body: (_))
    (enum_specifier !name body: (_))] declarator: (_) @name) @class
(function_definition declarator: (_) @name) @function
(comment) @above
"""
_CPP = """
(class_specifier name: (_) @name body: (_)) @class
(template_declaration [
    (class_specifier name: (_) @name body: (_))
    (struct_specifier name: (_) @name body: (_))]) @class
(namespace_definition name: (_) @name) @class
(template_declaration (function_definition declarator: (_) @name)) @function
"""
_C_SHARP = """
(namespace_declaration name: (_) @name) @class
(class_declaration name: (_) @name) @class
(struct_declaration name: (_) @name) @class
(interface_declaration name: (_) @name) @class
(enum_declaration name: (_) @name) @class
(record_declaration name: (_) @name) @class
(method_declaration name: (_) @name body: (_)) @function
(constructor_declaration name: (_) @name) @function
(destructor_declaration name: (_) @name) @function
(local_function_statement name: (_) @name) @function
(comment) @above
"""
_RUBY = """
(class name: (_) @name) @class
(module name: (_) @name) @class
(method name: (_) @name) @function
(singleton_method name: (_) @name) @function
(comment) @above
"""
_PHP = """
(namespace_definition name: (_) @name body: (_)) @class
(class_declaration name: (_) @name) @class
(interface_declaration name: (_) @name) @class
(trait_declaration name: (_) @name) @class
(enum_declaration name: (_) @name) @class
(method_declaration name: (_) @name body: (_)) @function
(function_definition name: (_) @name) @function
(comment) @above
"""
_BASH = """
(function_definition name: (_) @name) @function
(comment) @above
"""


@dataclass(frozen=True, slots=True)
class Grammar:
    """Where the grammar of a language is, and its definitions.

    Attributes:
        module: the package of the grammar.
        definitions: a query of tree-sitter. It captures `class` and `function` (the whole of a
            definition; of several around one name the largest counts), in them `name` (and
            `owner`, the type of a Go method, and `trait`, of a Rust implementation), and `above`:
            what belongs to the definition below it.
        function: of the package, gives the grammar.
    """

    module: str
    definitions: str
    function: str = "language"


_GRAMMARS: Mapping[str, Grammar] = MappingProxyType(
    {
        "bash": Grammar("tree_sitter_bash", _BASH),
        "c": Grammar("tree_sitter_c", _C),
        "cpp": Grammar("tree_sitter_cpp", _C + _CPP),
        "csharp": Grammar("tree_sitter_c_sharp", _C_SHARP),
        "go": Grammar("tree_sitter_go", _GO),
        "java": Grammar("tree_sitter_java", _JAVA),
        "javascript": Grammar("tree_sitter_javascript", _JAVASCRIPT + _JAVASCRIPT_FIELDS),
        "php": Grammar("tree_sitter_php", _PHP, "language_php"),
        "python": Grammar("tree_sitter_python", _PYTHON),
        "ruby": Grammar("tree_sitter_ruby", _RUBY),
        "rust": Grammar("tree_sitter_rust", _RUST),
        "tsx": Grammar("tree_sitter_typescript", _JAVASCRIPT + _TYPESCRIPT, "language_tsx"),
        "typescript": Grammar(
            "tree_sitter_typescript", _JAVASCRIPT + _TYPESCRIPT, "language_typescript"
        ),
    }
)


def has_grammar(language: str) -> bool:
    """Whether programs in a language can be parsed here."""
    return language in _GRAMMARS


@cache
def load_language(language: str) -> Language:
    """The grammar of a language, for parsing."""
    from tree_sitter import Language

    grammar = _GRAMMARS[language]
    return Language(getattr(import_module(grammar.module), grammar.function)())


@cache
def load_definitions(language: str) -> Query:
    """The query for the definitions of a language, as `Grammar.definitions` describes it."""
    from tree_sitter import Query

    return Query(load_language(language), _GRAMMARS[language].definitions)


def parse_program(data: bytes, language: str) -> Tree | None:
    """The syntax tree of a program; one with mistakes has what can be made out.

    The work is counted in operations, so that it does not depend on the machine whether a program
    is given up on. A clock ends only what would take ten times as long as any program does.

    Args:
        data: the program in UTF-8.
        language: one that has a grammar.

    Returns:
        None for more than 400,000 bytes, and where parsing takes more work than for what a person
        wrote: where a text is ambiguous all over, or a long run of signs that are no program.
    """
    from tree_sitter import Parser

    if len(data) > _MAX_BYTES:
        return None
    steps = 0
    last_moment = thread_time() + _MAX_TIME

    def read(offset: int, _: object) -> bytes:
        nonlocal steps
        steps += 1
        return data[offset : offset + _SLICE]

    def is_too_much(offset: int, _: bool) -> bool:
        nonlocal steps
        steps += 1
        return steps > _SPARE_STEPS + offset // _BYTES_PER_STEP or thread_time() > last_moment

    try:
        tree = Parser(load_language(language)).parse(read, progress_callback=is_too_much)
    except ValueError:  # It was stopped.
        return None
    return None if _is_tangled(tree.root_node) else tree


def _is_tangled(root: Node) -> bool:
    """Whether the parser gave up on a long run of signs.

    A query looks from each of them for the next node that is more than a sign, which takes minutes
    where there are 100,000 of them. Nothing that a person wrote has so many.
    """
    waiting = [root] if root.has_error else []
    while waiting:
        run = 0
        for child in waiting.pop().children:
            run = 0 if child.is_named else run + 1
            if run > _MAX_SIGNS:
                return True
            if child.has_error and child.child_count:
                waiting.append(child)
    return False
