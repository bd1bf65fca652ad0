"""The commands of search-cli."""

from __future__ import annotations

import typer

from search_engine.cli.backup_command import backup, restore
from search_engine.cli.calibrate_command import calibrate
from search_engine.cli.cluster_command import cluster
from search_engine.cli.compact_command import compact
from search_engine.cli.dedupe_command import dedupe
from search_engine.cli.delete_command import delete
from search_engine.cli.demo_command import demo
from search_engine.cli.distill_command import distill
from search_engine.cli.doctor_command import doctor
from search_engine.cli.evaluate_command import evaluate
from search_engine.cli.generation_commands import promote, rebuild, rollback
from search_engine.cli.index_command import index
from search_engine.cli.info_command import info
from search_engine.cli.list_command import list_
from search_engine.cli.mine_command import mine
from search_engine.cli.query_command import query
from search_engine.cli.sync_command import sync
from search_engine.cli.train_command import train
from search_engine.cli.ui_command import ui

app = typer.Typer(
    name="search-cli",
    help="Semantic search over your own documents: retrieve, then rerank.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(index)
app.command()(sync)
app.command()(query)
app.command()(evaluate)
app.command()(info)
app.command(name="list")(list_)
app.command()(delete)
app.command()(dedupe)
app.command()(cluster)
app.command()(mine)
app.command()(train)
app.add_typer(distill)
app.command()(calibrate)
app.command()(compact)
app.command()(doctor)
app.command()(backup)
app.command()(restore)
app.command()(rebuild)
app.command()(promote)
app.command()(rollback)
app.command()(demo)
app.command()(ui)
