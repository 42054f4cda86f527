"""Groups of arrays in one file."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from backbench.errors import StorageError
from backbench.files.arrays import digest, pack, unpack


def written(tmp_path, groups):
    path = tmp_path / "heads.safetensors"
    path.write_bytes(pack(groups))
    return path


def test_groups_come_back_as_they_were(tmp_path):
    groups = {
        "42/0": {"weight": np.eye(3, dtype=np.float32)[:, ::2], "k": np.array(5)},
        "42/1": {"weight": np.zeros((0, 2), np.float16), "voters": np.array([True, False])},
    }
    found = unpack(written(tmp_path, groups))
    assert found.keys() == groups.keys()
    for group, arrays in groups.items():
        assert found[group].keys() == arrays.keys()
        for name, array in arrays.items():
            assert digest(found[group][name]) == digest(array)


def test_what_groups_have_alike_is_there_once(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(1000, 200))
    groups = {str(i): {"vectors": vectors, "k": np.array(i)} for i in range(10)}
    groups["10"] = {"vectors": vectors.copy(), "k": np.array(10)}
    path = written(tmp_path, groups)
    assert path.stat().st_size < 1.01 * vectors.nbytes
    found = unpack(path)
    assert [int(found[str(i)]["k"]) for i in range(11)] == list(range(11))
    assert all(arrays["vectors"] is found["0"]["vectors"] for arrays in found.values())
    np.testing.assert_array_equal(found["3"]["vectors"], vectors)


@pytest.mark.parametrize(
    "other", [lambda a: a + 1, lambda a: a.reshape(200, 1000), lambda a: a.view(np.int64)]
)
def test_arrays_that_differ_in_values_shape_or_type_are_both_there(tmp_path, other):
    first = np.random.default_rng(0).normal(size=(1000, 200))
    found = unpack(written(tmp_path, {"0": {"a": first}, "1": {"a": other(first)}}))
    assert digest(found["0"]["a"]) == digest(first)
    assert digest(found["1"]["a"]) == digest(other(first))


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_damaged_file_is_told(tmp_path, keep):
    path = written(tmp_path, {"0": {"a": np.arange(100)}})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(StorageError, match=r"heads\.safetensors is not a file of arrays"):
        unpack(path)


@pytest.mark.parametrize("same", [[], None, {"0/b": ["0/a"]}, {"0/b": "0/z"}])
def test_names_of_what_is_alike_that_are_none_are_told(tmp_path, same):
    path = tmp_path / "heads.safetensors"
    save_file({"0/a": np.arange(3)}, path, metadata={"same": json.dumps(same)})
    with pytest.raises(StorageError, match=r"heads\.safetensors is not a file of arrays"):
        unpack(path)
