"""Two processes that gather: the value and gradients of one process with all examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, multiprocessing
from torch.nn.parallel import DistributedDataParallel

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.training.losses.bi_encoder import (
    CachedMultipleNegativesRankingLoss,
    GISTEmbedLoss,
    MatryoshkaLoss,
    MultipleNegativesRankingLoss,
)
from search_engine.training.losses.gathering import gather
from search_engine.training.losses.loss import Loss
from tests.encoders.checkpoints import write_sentence_transformer, write_trunk
from tests.parity.training.bi_encoder_runs import (
    Run,
    assert_same_run,
    build_model,
    gradients_of,
    run_ours,
    run_theirs,
    triples,
)

PROCESSES = 2
ALL = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")


def _guided(guide: str, gather: bool, **options: Any) -> Loss:
    opened = BiEncoder(guide, backend="torch", dtype="float32")
    return GISTEmbedLoss(opened, temperature=0.05, gather=gather, **options)


CASES: Mapping[str, Callable[[str, bool], Loss]] = {
    "plain": lambda _, gather: MultipleNegativesRankingLoss(gather=gather),
    "directions": lambda _, gather: MultipleNegativesRankingLoss(gather=gather, directions=ALL),
    "symmetric": lambda _, gather: MultipleNegativesRankingLoss(
        gather=gather, directions=("query_to_doc", "doc_to_query"), partition="per_direction"
    ),
    "hardness": lambda _, gather: MultipleNegativesRankingLoss(
        gather=gather, hardness="all_negatives", hardness_strength=5.0
    ),
    "cached": lambda _, gather: CachedMultipleNegativesRankingLoss(
        gather=gather, mini_batch_size=2
    ),
    "matryoshka": lambda _, gather: MatryoshkaLoss(
        CachedMultipleNegativesRankingLoss(gather=gather, mini_batch_size=4), [16, 4]
    ),
    "guided": lambda guide, gather: _guided(guide, gather),
    "guided by a margin": lambda guide, gather: _guided(guide, gather, margin=0.02),
}


def _share(data: Mapping[str, list[Any]], rank: int) -> dict[str, list[Any]]:
    """The examples of one process."""
    size = len(data["anchor"]) // PROCESSES
    return {name: texts[rank * size : (rank + 1) * size] for name, texts in data.items()}


def _mean(value: torch.Tensor) -> torch.Tensor:
    distributed.all_reduce(value)
    return value / PROCESSES


def _work(rank: int, place: Path, folder: str, guide: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{place / 'meeting'}", rank=rank, world_size=PROCESSES
    )
    mine = _share(triples(), rank)
    runs: dict[str, Run] = {}
    for name, make in CASES.items():
        model, batch = build_model(Path(folder), make(guide, True), mine)
        parallel = DistributedDataParallel(model)
        value = parallel(batch)
        value.backward()
        runs[name] = Run(_mean(value.detach()).item(), gradients_of(model))
    runs["reference"] = _reference(folder, mine)
    # As many vectors as its rank and one more; each is weighed by a number of this process.
    own = torch.full((rank + 1, 2), float(rank), requires_grad=True)
    whole, begin = gather(own)
    (whole * (rank + 1)).sum().backward()
    torch.save((runs, whole.detach(), begin, own.grad), place / f"{rank}.pt")
    distributed.destroy_process_group()


def _reference(folder: str, mine: Mapping[str, list[Any]]) -> Run:
    from sentence_transformers.sentence_transformer import losses

    made = run_theirs(
        Path(folder),
        lambda m: losses.MultipleNegativesRankingLoss(m, gather_across_devices=True),
        mine,
    )
    value = _mean(torch.tensor(made.value)).item()
    return Run(value, {name: _mean(each) for name, each in made.gradients.items()})


@pytest.fixture(scope="module")
def folders(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("gathering")
    student = write_sentence_transformer(place / "student", bert)
    trunk = write_trunk(place / "trunk", seed=5)
    return student, write_sentence_transformer(place / "guide", trunk)


@pytest.fixture(scope="module")
def gathered(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    place = tmp_path_factory.mktemp("processes")
    multiprocessing.spawn(_work, args=(place, *map(str, folders)), nprocs=PROCESSES)
    return [torch.load(place / f"{rank}.pt", weights_only=False) for rank in range(PROCESSES)]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_as_one_process_with_all_examples(
    case: str, gathered: list[Any], folders: tuple[Path, Path]
) -> None:
    student, guide = map(str, folders)
    joined = run_ours(Path(student), CASES[case](guide, False), triples())
    for runs, *_ in gathered:
        assert_same_run(runs[case], joined)
    # Without gathering it is another loss.
    alone = [run_ours(Path(student), CASES[case](guide, False), _share(triples(), rank))
             for rank in range(PROCESSES)]  # fmt: skip
    assert abs(sum(each.value for each in alone) / PROCESSES - joined.value) > 0.05


@pytest.mark.slow
def test_as_the_reference_in_two_processes(gathered: list[Any]) -> None:
    assert_same_run(gathered[0][0]["plain"], gathered[0][0]["reference"])


@pytest.mark.slow
def test_processes_may_have_different_numbers_of_vectors(gathered: list[Any]) -> None:
    for rank, (_, whole, begin, gradient) in enumerate(gathered):
        assert whole.tolist() == [[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]
        assert begin == rank
        # What both processes did with the vectors of this one.
        assert gradient.tolist() == [[3.0, 3.0]] * (rank + 1)


def test_alone_there_is_nothing_to_gather() -> None:
    vectors = torch.ones(2, 3)
    assert gather(vectors)[0] is vectors
    assert gather(vectors)[1] == 0
