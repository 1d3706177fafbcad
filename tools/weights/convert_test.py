#!/usr/bin/python3
"""Tests of the converter on small files made here: /usr/bin/python3 tools/weights/convert_test.py"""

import argparse
import collections
import io
import json
import os
import pathlib
import pickle
import struct
import sys
import tempfile
import unittest
import zipfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import convert  # noqa: E402
import models  # noqa: E402
import restricted_pickle  # noqa: E402
import safetensors_file  # noqa: E402


class Hostile:
    """What an attacker would send: unpickling it plainly calls os.mkdir."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


class Global:
    """Pickles as the global `module.name`, which need not exist here."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class StorageReference:
    def __init__(self, pid):
        self.pid = pid


class TorchPickler(pickle._Pickler):
    """Writes what torch.save would write, without torch: globals by name and storages by persistent id."""

    dispatch = dict(pickle._Pickler.dispatch)

    def persistent_id(self, obj):
        return obj.pid if isinstance(obj, StorageReference) else None

    def save_global_by_name(self, obj):
        self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())

    dispatch[Global] = save_global_by_name


class Rebuild:
    def __init__(self, arguments, function="_rebuild_tensor_v2"):
        self.arguments, self.function = arguments, function

    def __reduce__(self):
        return self.function, self.arguments


def save_rebuild(pickler, obj):
    pickler.save_global_by_name(Global("torch._utils", obj.function))
    pickler.save(obj.arguments)
    pickler.write(pickle.REDUCE)


TorchPickler.dispatch[Rebuild] = save_rebuild


def torch_pickle(tensors, storage_type=("torch", "FloatStorage")):
    tree = collections.OrderedDict()
    for i, (name, array) in enumerate(tensors.items()):
        reference = StorageReference(("storage", Global(*storage_type), str(i), "cpu", array.size))
        strides = tuple(stride // 4 for stride in array.strides)
        tree[name] = Rebuild((reference, 0, array.shape, strides, False, collections.OrderedDict()))
    buffer = io.BytesIO()
    TorchPickler(buffer, protocol=2).dump(tree)
    return buffer.getvalue()


def torch_zip(tensors, **options):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", torch_pickle(tensors, **options))
        for i, array in enumerate(tensors.values()):
            archive.writestr(f"archive/data/{i}", array.tobytes())
    return buffer.getvalue()


def torch_legacy(tensors):
    parts = [restricted_pickle.TORCH_LEGACY_MAGIC, 1001, {"protocol_version": 1001, "little_endian": True}]
    content = b"".join(pickle.dumps(part, protocol=2) for part in parts) + torch_pickle(tensors)
    content += pickle.dumps([str(i) for i in range(len(tensors))], protocol=2)
    for array in tensors.values():
        content += struct.pack("<q", array.size) + array.tobytes()
    return content


def random_tensors(shapes, seed=1):
    generator = np.random.default_rng(seed)
    return {name: generator.random(shape, dtype=np.float32) for name, shape in shapes.items()}


def state_dicts(trunk):
    trunk_shapes = {}
    for prefix, shape in zip(trunk.torchvision_convs, trunk.conv_shapes):
        trunk_shapes[f"{prefix}.weight"] = shape
        trunk_shapes[f"{prefix}.bias"] = shape[:1]
    if trunk.metric == "dists":
        head_shapes = {name: (1, sum(trunk.head_sizes), 1, 1) for name in ("alpha", "beta")}
    else:
        head_shapes = {f"lin{i}.model.1.weight": (1, size, 1, 1) for i, size in enumerate(trunk.head_sizes)}
    return random_tensors(trunk_shapes), random_tensors(head_shapes, seed=2)


class RestrictedPickleTest(unittest.TestCase):
    def test_refuses_to_call_what_the_file_names(self):
        with tempfile.TemporaryDirectory() as folder:
            target = os.path.join(folder, "owned")
            hostile = pickle.dumps({"params": Hostile(target)})
            with self.assertRaisesRegex(restricted_pickle.RefusedPickle, r"mkdir, which is not on the allow-list"):
                restricted_pickle.load_numpy_pickle(hostile)
            self.assertFalse(os.path.exists(target))
            pickle.loads(hostile)  # The test can fail: unpickled plainly, the file does act.
            self.assertTrue(os.path.exists(target))

    def test_refuses_in_every_pickle_of_a_torch_file(self):
        with tempfile.TemporaryDirectory() as folder:
            target = os.path.join(folder, "owned")
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as archive:
                archive.writestr("archive/data.pkl", pickle.dumps(Hostile(target)))
            for content in (buffer.getvalue(), pickle.dumps(Hostile(target))):
                with self.assertRaises(restricted_pickle.RefusedPickle):
                    restricted_pickle.load_torch_state_dict(content)
            self.assertFalse(os.path.exists(target))

    def test_reads_nested_dicts_of_arrays_in_either_order(self):
        array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
        tree = {"a": {"b": array, "c": np.asfortranarray(array)}}
        for protocol in (3, 4):  # 2 writes bytes as a call of _codecs.encode, 5 has arrays in another form: both refused.
            loaded = restricted_pickle.load_numpy_pickle(pickle.dumps(tree, protocol=protocol))
            np.testing.assert_array_equal(loaded["a"]["b"], array)
            np.testing.assert_array_equal(loaded["a"]["c"], array)

    def test_refuses_other_types(self):
        for array in (np.zeros(3), np.zeros(3, dtype=">f4"), np.array([None])):
            with self.assertRaisesRegex(restricted_pickle.RefusedPickle, "only little-endian float32 is expected"):
                restricted_pickle.load_numpy_pickle(pickle.dumps({"a": array}, protocol=4))

    def test_refuses_truncated_files(self):
        content = pickle.dumps({"a": np.zeros(100, dtype=np.float32)}, protocol=4)
        for length in range(0, len(content), 37):
            with self.assertRaises(restricted_pickle.RefusedPickle):
                restricted_pickle.load_numpy_pickle(content[:length])


class TorchFileTest(unittest.TestCase):
    TENSORS = random_tensors({"features.0.weight": (4, 3, 2, 2), "features.0.bias": (4,)})

    def test_reads_both_layouts(self):
        for content in (torch_zip(self.TENSORS), torch_legacy(self.TENSORS)):
            loaded = restricted_pickle.load_torch_state_dict(content)
            self.assertEqual(list(loaded), list(self.TENSORS))
            for name, array in self.TENSORS.items():
                np.testing.assert_array_equal(loaded[name], array)

    def test_keeps_strides(self):
        transposed = {"w": self.TENSORS["features.0.weight"].reshape(12, 4).T}
        content = torch_zip(transposed)
        loaded = restricted_pickle.load_torch_state_dict(content)
        flat = np.frombuffer(transposed["w"].tobytes(), dtype=np.float32)  # tobytes() writes C order.
        expected = np.lib.stride_tricks.as_strided(flat, (4, 12), (4, 16))
        np.testing.assert_array_equal(loaded["w"], expected)

    def test_refuses_a_tensor_outside_of_its_storage(self):
        reference = StorageReference(("storage", Global("torch", "FloatStorage"), "0", "cpu", 4))
        for offset, shape, strides in ((1, (4,), (1,)), (0, (2, 4), (4, 1)), (0, (2,), (-1,)), (-1, (2,), (1,))):
            buffer, archive_bytes = io.BytesIO(), io.BytesIO()
            TorchPickler(buffer, protocol=2).dump({"w": Rebuild((reference, offset, shape, strides))})
            with zipfile.ZipFile(archive_bytes, "w") as archive:
                archive.writestr("archive/data.pkl", buffer.getvalue())
                archive.writestr("archive/data/0", bytes(16))
            with self.assertRaisesRegex(restricted_pickle.RefusedPickle, "outside of storage"):
                restricted_pickle.load_torch_state_dict(archive_bytes.getvalue())

    def test_refuses_other_storages(self):
        with self.assertRaisesRegex(restricted_pickle.RefusedPickle, "torch.HalfStorage"):
            restricted_pickle.load_torch_state_dict(torch_zip(self.TENSORS, storage_type=("torch", "HalfStorage")))

    def test_refuses_truncated_files(self):
        content = torch_legacy(self.TENSORS)
        for length in range(0, len(content), 29):
            with self.assertRaises(restricted_pickle.RefusedPickle):
                restricted_pickle.load_torch_state_dict(content[:length])


class SafetensorsTest(unittest.TestCase):
    def test_round_trip_alignment_and_layout(self):
        tensors = random_tensors({"b": (2, 3), "a": (5,), "c": (1, 1, 7)})
        content = safetensors_file.encode(tensors, {"format": "x"})
        self.assertEqual(content, safetensors_file.encode(dict(tensors), {"format": "x"}))
        header_bytes = int.from_bytes(content[:8], "little")
        self.assertEqual((8 + header_bytes) % safetensors_file.DATA_ALIGNMENT_BYTES, 0)
        header = json.loads(content[8 : 8 + header_bytes])
        self.assertEqual(header["b"], {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]})
        self.assertEqual(len(content), 8 + header_bytes + 4 * (6 + 5 + 7))
        loaded, metadata = safetensors_file.decode(content)
        self.assertEqual(metadata, {"format": "x"})
        self.assertEqual(list(loaded), ["b", "a", "c"])
        for name, array in tensors.items():
            np.testing.assert_array_equal(loaded[name], array)


class TrunkTest(unittest.TestCase):
    def test_torchvision_names_reach_every_tensor(self):
        for trunk in models.TRUNKS:
            trunk_state, head_state = state_dicts(trunk)
            tensors = convert.tensors_from_torch(trunk, trunk_state, head_state)
            np.testing.assert_array_equal(tensors["conv0.weight"], trunk_state["features.0.weight"])
            last = len(trunk.head_sizes) - 1
            head = tensors[f"head{last}.weight"]
            if trunk.metric == "dists":
                expected = np.stack([head_state[name].ravel()[-trunk.head_sizes[-1] :] for name in ("alpha", "beta")])
            else:
                expected = head_state[f"lin{last}.model.1.weight"].ravel()
            np.testing.assert_array_equal(head, expected)

    def test_dists_heads_are_cut_at_the_taps(self):
        trunk = models.BY_METRIC["dists"]
        state = {name: np.arange(1475, dtype=np.float32).reshape(1, -1, 1, 1) + i for i, name in enumerate(("alpha", "beta"))}
        heads = convert.heads_from_dists(trunk, state)
        self.assertEqual([head.shape for head in heads.values()], [(2, size) for size in trunk.head_sizes])
        for row in (0, 1):
            joined = np.concatenate([head[row] for head in heads.values()])
            np.testing.assert_array_equal(joined, np.arange(1475, dtype=np.float32) + row)
        with self.assertRaisesRegex(models.WrongWeights, "1475 expected"):
            convert.heads_from_dists(trunk, {**state, "beta": state["beta"][:, :1474]})

    def test_jax_and_torchvision_layouts_agree(self):
        trunk = models.BY_METRIC["lpips_alex"]
        trunk_state, head_state = state_dicts(trunk)
        params = {trunk.jax_top_key: {}}
        for i, prefix in enumerate(trunk.torchvision_convs):
            kernel = trunk_state[f"{prefix}.weight"].transpose(2, 3, 1, 0)
            params[trunk.jax_top_key][f"Conv_{i}"] = {"kernel": kernel, "bias": trunk_state[f"{prefix}.bias"]}
        for i in range(len(trunk.head_sizes)):
            head = head_state[f"lin{i}.model.1.weight"].reshape(1, 1, -1, 1)
            params[f"NetLinLayer_{i}"] = {"Conv_0": {"kernel": head}}
        from_jax = convert.tensors_from_jax(trunk, {"params": params})
        from_torch = convert.tensors_from_torch(trunk, trunk_state, head_state)
        self.assertEqual(safetensors_file.encode(from_jax, {}), safetensors_file.encode(from_torch, {}))

    def test_wrong_weights_are_refused(self):
        trunk = models.BY_METRIC["lpips_alex"]
        other = models.BY_METRIC["lpips_squeeze"]
        trunk_state, head_state = state_dicts(trunk)
        good = convert.tensors_from_torch(trunk, trunk_state, head_state)
        with self.assertRaises(models.WrongWeights):
            models.checked(other, good)
        for name, bad in (("conv1.bias", np.float32("nan")), ("conv1.weight", np.float32("inf")), ("head0.weight", -1)):
            broken = dict(good)
            broken[name] = good[name].copy()
            broken[name].flat[3] = bad
            with self.assertRaisesRegex(models.WrongWeights, name):
                models.checked(trunk, broken)


class FirstVersionTest(unittest.TestCase):
    def convert(self, folder, change=lambda states: None):
        trunks = [trunk for trunk in models.TRUNKS if trunk.metric.startswith("lpips")]
        states = {trunk.metric: state_dicts(trunk)[1] for trunk in trunks}
        change(states)
        wheel_path = pathlib.Path(folder) / "wheel.whl"
        with zipfile.ZipFile(wheel_path, "w") as wheel:
            for trunk in trunks:
                name = trunk.head_file.rsplit("/", 1)[1]
                wheel.writestr(f"lpips/weights/v0.0/{name}", torch_zip(states[trunk.metric]))
        convert.run_lpips_first_version(argparse.Namespace(wheel=wheel_path, unpinned=True, into=pathlib.Path(folder)))
        return states

    def test_has_the_heads_of_all_trunks(self):
        with tempfile.TemporaryDirectory() as folder:
            states = self.convert(folder)
            tensors, metadata = safetensors_file.decode((pathlib.Path(folder) / "lpips_v0.0.safetensors").read_bytes())
        self.assertEqual(metadata["convention"], "v0.0")
        self.assertEqual(len(tensors), 5 + 5 + 7)
        for metric, state in states.items():
            for i in range(len(models.BY_METRIC[metric].head_sizes)):
                np.testing.assert_array_equal(tensors[f"{metric}.head{i}.weight"], state[f"lin{i}.model.1.weight"].ravel())

    def test_wrong_heads_are_refused(self):
        def negative(states):
            states["lpips_vgg"]["lin2.model.1.weight"] = -states["lpips_vgg"]["lin2.model.1.weight"]

        def other(states):
            states["lpips_alex"] = states["lpips_vgg"]

        for change, named in ((negative, "lpips_vgg: head2.weight"), (other, "lpips_alex")):
            with tempfile.TemporaryDirectory() as folder:
                with self.assertRaisesRegex(models.WrongWeights, named):
                    self.convert(folder, change)
                self.assertFalse((pathlib.Path(folder) / "lpips_v0.0.safetensors").exists())


class CheckTest(unittest.TestCase):
    def test_names_missing_and_altered_files(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)
            self.assertEqual(len(convert.check(path)), 4)
            (path / "lpips_alex.safetensors").write_bytes(b"altered")
            complaints = convert.check(path)
            self.assertIn("expected 0ba1faa2", complaints[1])
            self.assertIn("is missing", complaints[2])


class OwnWeightsTest(unittest.TestCase):
    def test_a_files_own_weights_are_written_and_listed_once(self):
        trunk = models.BY_METRIC["lpips_squeeze"]
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)
            (path / convert.OWN_WEIGHTS).write_text("00  other.safetensors\n11  lpips_squeeze.safetensors\n")
            for name, state in zip(("trunk.pth", "heads.pth"), state_dicts(trunk)):
                (path / name).write_bytes(torch_zip(state))
            convert.run_torchvision(
                argparse.Namespace(
                    metric=trunk.metric, trunk=path / "trunk.pth", heads=path / "heads.pth", into=path
                )
            )
            written = (path / "lpips_squeeze.safetensors").read_bytes()
            lines = (path / convert.OWN_WEIGHTS).read_text().splitlines()
            self.assertEqual(lines, ["00  other.safetensors", f"{convert.sha256_of(written)}  lpips_squeeze.safetensors"])
            tensors, metadata = safetensors_file.decode(written)
            self.assertEqual(metadata["metric"], "lpips_squeeze")
            self.assertEqual(tensors["head6.weight"].shape, (512,))


if __name__ == "__main__":
    unittest.main()
