"""Processes with the same task share it."""

import math

from backbench.features import feature_path
from backbench.features.shards import ShardedFile
from backbench.features.sharing import Unclaimed
from features_bench import Bench, in_memory, rows_of


def queue_of(bench, samples, **options):
    path = feature_path(samples.name, bench.identity)
    file = ShardedFile(path, bench.identity.key)
    pending = list(range(len(samples)))
    return Unclaimed(
        file, samples.ids.tolist(), pending, 4, "here", every=0, share=math.inf, **options
    )


def test_alone_the_order_is_that_of_the_samples(bench):
    batches = list(queue_of(bench, in_memory(10)))
    assert batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_what_a_neighbour_finishes_leaves_the_queue(bench):
    samples = in_memory(40)
    stream = iter(queue_of(bench, samples))
    first = [next(stream), next(stream)]
    bench.extract(rows_of(samples, list(range(6, 30))), precision="fp32")
    rest = [row for batch in stream for row in batch]
    assert first == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert sorted(rest) == list(range(30, 40))


def test_a_neighbour_that_does_the_same_rows_changes_the_order(bench):
    """Two that began together."""
    samples = in_memory(400)
    stream = iter(queue_of(bench, samples))
    first = [next(stream), next(stream)]
    bench.extract(rows_of(samples, list(range(8))), precision="fp32")
    rest = list(stream)
    assert first == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert sorted(rest) == [list(range(i, i + 4)) for i in range(8, 400, 4)]
    assert rest != sorted(rest)


def test_rows_that_were_there_before_are_not_taken_for_finished(bench):
    """They are pending because their content changed."""
    samples = in_memory(8)
    bench.extract(samples)
    assert len(list(queue_of(bench, samples))) == 2


def test_a_neighbours_bf16_rows_do_not_count_where_fp32_is_asked(bench):
    samples = in_memory(40)
    stream = iter(queue_of(bench, samples, exact=True))
    seen = list(next(stream))
    fast = Bench().extract(samples, precision="bf16")
    assert fast.provenance["precision"] == "bf16"
    seen += [row for batch in stream for row in batch]
    assert seen == list(range(40))
