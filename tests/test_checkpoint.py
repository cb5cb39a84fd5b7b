"""Checkpoints: what is saved comes back to the bit, of any type of array that JAX computes with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxattn.errors import InputError
from jaxattn.runs import checkpoint

TYPES = ("float32", "bfloat16", "float16", "float8_e4m3fn", "int32", "uint8", "int4", "bool", "complex64")


def like(state):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_arrays_of_every_type_and_shape_come_back_to_the_bit(tmp_path, dtype, shape):
    state = {"a": jnp.arange(np.prod(shape)).reshape(shape).astype(dtype), "b": {"c": np.float32(1.5)}}
    checkpoint.save(tmp_path, 3, state, {3})
    checkpoint.check(like(state))
    restored = checkpoint.restore(tmp_path, 3, like(state))
    for one, other in zip(jax.tree.leaves(restored), jax.tree.leaves(state), strict=True):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, np.asarray(other).tobytes())


def test_a_part_of_what_was_saved_is_restored_alone(tmp_path):
    checkpoint.save(tmp_path, 1, {"a": np.arange(3), "b": np.arange(2)}, {1})
    assert checkpoint.restore(tmp_path, 1, like({"b": np.arange(2)}))["b"].tolist() == [0, 1]


def test_a_checkpoint_says_whose_it_is_and_one_that_does_not_is_read(tmp_path):
    state = {"a": np.arange(3)}
    one, other = {"run": "one run", "data": "x"}, {"run": "two run", "data": "x"}
    checkpoint.save(tmp_path, 1, state, {1}, one)
    path = tmp_path / "epoch-1.safetensors"
    whole = path.read_bytes()
    for run in (one, {}):
        assert checkpoint.restore(tmp_path, 1, like(state), run)["a"].tolist() == [0, 1, 2]
    with pytest.raises(
        checkpoint.DamagedCheckpointError, match=r"epoch-1\.safetensors is damaged: it is of another run"
    ):
        checkpoint.restore(tmp_path, 1, like(state), one | {"data": "y"})
    path.write_bytes(whole.replace(b'"one run"', b'"two run"'))
    with pytest.raises(checkpoint.DamagedCheckpointError, match="its digest is not that of its contents"):
        checkpoint.restore(tmp_path, 1, like(state), other)
    for earlier in ({}, {"run": "one run"}):  # of earlier versions
        checkpoint.save(tmp_path, 1, state, {1}, earlier)
        assert checkpoint.restore(tmp_path, 1, like(state), one)["a"].tolist() == [0, 1, 2]


def test_another_shape_or_type_is_another_network(tmp_path):
    checkpoint.save(tmp_path, 1, {"a": np.zeros(3, np.float32)}, {1})
    longer, whole = np.zeros(4, np.float32), np.zeros(3, np.int32)
    for other, there in ((longer, r"float32 \[4\] and is float32 \[3\]"), (whole, "int32")):
        with pytest.raises(InputError, match=rf"is of another network or version: a must be {there}"):
            checkpoint.restore(tmp_path, 1, like({"a": other}))


def test_a_type_that_no_file_holds_is_refused_before_training():
    with pytest.raises(InputError, match=r"memory/key is an array of key<fry>, which a checkpoint cannot hold"):
        checkpoint.check(jax.eval_shape(lambda: {"memory": {"key": jax.random.key(0)}}))


def test_a_name_that_is_taken_by_a_folder_is_reported(tmp_path):
    (tmp_path / "epoch-1.safetensors").mkdir()
    with pytest.raises(InputError, match=r"cannot write a checkpoint to .*: Is a directory; fix that, then resume"):
        checkpoint.save(tmp_path, 1, {"a": np.zeros(3)}, {1})
