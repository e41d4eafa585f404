"""hw.program: the object, the folder, and every way in which a folder can be wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hw.arch import Accelerator, AcceleratorError
from hw.files import FileError, sha256
from hw.isa import Opcode, make
from hw.program import Program, ProgramError, Region, accelerator_from_dict, load

Refused = Callable[..., str]
Change = Callable[[dict[str, Any]], object]
ADDRESS = 64
INSTRUCTIONS = (
    make(Opcode.LOAD, buffer=0, address=0, line=0, row_beats=1, segments=1, segment_beats=4, stride=0, signal=2),
    make(Opcode.FENCE),
    make(Opcode.HALT),
)
REGIONS = (
    Region("input", 0, 16, "read"),
    Region("output", 32, 32, "write"),
    Region("program", ADDRESS, 96, "program"),
)
UNITS = "load+array+drain+store+vector+row"
OPCODES = (
    "1 (LOAD), 2 (MATMUL), 3 (BINARIZE), 4 (STORE), 5 (FENCE), 6 (HALT), 7 (SUMS), 8 (VECTOR), 9 (SOFTMAX), 10 (MEAN), "
    "11 (CLASSIFY), 12 (EXIT), 13 (TABLE)"
)
ACCELERATOR_KEYS = "format, name, array, buffers, vector, attention, text, memory, queues, implementation"
KEYS = "format, accelerator, address, length, regions, image"


def build(**changes: Any) -> Program:
    code = b"".join(instruction.encode() for instruction in INSTRUCTIONS)
    fields: dict[str, Any] = {
        "accelerator": Accelerator(name="test"),
        "instructions": INSTRUCTIONS,
        "address": ADDRESS,
        "regions": REGIONS,
        "image": bytes(range(ADDRESS)) + code + bytes(32),
    }
    return Program(**{**fields, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build().save(tmp_path / "p")
    return tmp_path / "p"


class TestTheObject:
    def test_round_trip(self, folder: Path) -> None:
        assert load(folder) == build()
        assert sorted(path.name for path in folder.iterdir()) == ["image.bin", "program.json"]

    def test_saving_twice_gives_the_same_bytes(self, folder: Path, tmp_path: Path) -> None:
        load(folder).save(tmp_path / "q")
        for name in ("image.bin", "program.json"):
            assert (folder / name).read_bytes() == (tmp_path / "q" / name).read_bytes()

    def test_regions_are_found_by_name(self, refused: Refused) -> None:
        assert build().region("output") == REGIONS[1]
        assert REGIONS[1].end == 64
        expected = "program: region must be one of ['input', 'output', 'program'], not 'out'"
        assert refused(ProgramError, build().region, "out") == expected

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"instructions": ()}, "program: instructions must be at least 1, not 0"),
            ({"address": 33}, "program: address must be a multiple of 32, not 33"),
            ({"address": -32}, "program: address must be a multiple of 32, not -32"),
            ({"address": 96}, "program: image must hold the encoded instructions at 0x60"),
            ({"image": b""}, "program: image must hold the encoded instructions at 0x40"),
            ({"instructions": INSTRUCTIONS[:1] * 2}, "program: image must hold the encoded instructions at 0x40"),
            ({"regions": (REGIONS[0],) * 2}, "region input: name must be given once, not twice"),
        ],
    )
    def test_refusals(self, changes: dict[str, Any], message: str, refused: Refused) -> None:
        assert refused(ProgramError, lambda: build(**changes)) == message

    @pytest.mark.parametrize(
        ("region", "message"),
        [
            (("", 0, 1, "read"), "region name must be 1 to 200 printable characters, not ''"),
            (("a\nb", 0, 1, "read"), "region name must be 1 to 200 printable characters, not 'a\\nb'"),
            (("a\0", 0, 1, "read"), "region name must be 1 to 200 printable characters, not 'a\\x00'"),
            (("\ud800", 0, 1, "read"), "region name must be 1 to 200 printable characters, not '\\ud800'"),
            ((7, 0, 1, "read"), "region name must be 1 to 200 printable characters, not 7"),
            (("a", 0, 1, "execute"), "region a: access must be one of program, read, write, not 'execute'"),
            (("a", 0, 1, None), "region a: access must be one of program, read, write, not None"),
            (("a", 0, 193, "read"), "region a: address and size must lie in the image of 192 bytes, not (0, 193)"),
            (("a", 192, 1, "read"), "region a: address and size must lie in the image of 192 bytes, not (192, 1)"),
            (("a", -1, 1, "read"), "region a: address and size must lie in the image of 192 bytes, not (-1, 1)"),
            (("a", 1, -1, "read"), "region a: address and size must lie in the image of 192 bytes, not (1, -1)"),
            (("a", True, 1, "read"), "region a: address and size must lie in the image of 192 bytes, not (True, 1)"),
            (("a", 0.0, 1, "read"), "region a: address and size must lie in the image of 192 bytes, not (0.0, 1)"),
            (("a", 0, "1", "read"), "region a: address and size must lie in the image of 192 bytes, not (0, '1')"),
        ],
    )
    def test_wrong_regions(self, region: tuple[Any, ...], message: str, refused: Refused) -> None:
        assert refused(ProgramError, lambda: build(regions=(Region(*region),))) == message

    def test_regions_at_the_limits(self) -> None:
        regions = (Region("n" * 200, 0, 192, "read"), Region("empty", 192, 0, "write"))
        assert build(regions=regions).regions == regions


def put(*path: str | int, to: object) -> Change:
    def change(manifest: Any) -> None:
        for key in path[:-1]:
            manifest = manifest[key]
        manifest[path[-1]] = to

    return change


def drop(*path: str | int) -> Change:
    def change(manifest: Any) -> None:
        for key in path[:-1]:
            manifest = manifest[key]
        del manifest[path[-1]]

    return change


REGION_KEYS = "name, address, size, access"
OUTSIDE = "region output: address and size must lie in the image of 192 bytes, not"

# A change of the manifest, and the message after the manifest's path.
WRONG_MANIFESTS: dict[str, tuple[Change, str]] = {
    "no format": (drop("format"), "program: format must be given, not left out"),
    "unknown key": (
        put("adress", to=64),
        f"program: key must be one of {KEYS}, not 'adress'; did you mean 'address'?",
    ),
    "other format": (
        put("format", to="tallybert-program-2"),
        "format: must be tallybert-program-1, not 'tallybert-program-2'",
    ),
    "format with a newline": (put("format", to="a\nb"), "format: must be tallybert-program-1, not 'a\\nb'"),
    "accelerator is a list": (
        put("accelerator", to=[]),
        f"accelerator: must be an object with the keys {ACCELERATOR_KEYS}, not []",
    ),
    "accelerator of another format": (
        put("accelerator", "format", to="x"),
        "accelerator: format must be tallybert-accelerator-1, not 'x'",
    ),
    "accelerator without a section": (drop("accelerator", "queues"), "accelerator: queues must be given, not left out"),
    "accelerator without a key": (
        drop("accelerator", "array", "rows"),
        "accelerator: array: rows must be given, not left out",
    ),
    "accelerator with an unknown key": (
        put("accelerator", "implementation", "counter", to=True),
        "accelerator: implementation: key must be one of clock_mhz, counters, not 'counter'; did you mean 'counters'?",
    ),
    "section is a number": (
        put("accelerator", "queues", to=4),
        "accelerator: queues: must be an object with the keys fetch_depth, queue_depth, transfers_in_flight, not 4",
    ),
    "bool for an integer": (
        put("accelerator", "array", "rows", to=True),
        "accelerator: array.rows must be an integer from 1 to 64, not True",
    ),
    "float for an integer": (
        put("accelerator", "array", "rows", to=4.0),
        "accelerator: array.rows must be an integer from 1 to 64, not 4.0",
    ),
    "relation": (
        put("accelerator", "array", "drain_rows", to=5),
        "accelerator: array.drain_rows must be at most array.rows (4), not 5",
    ),
    "name with a newline": (
        put("accelerator", "name", to="a\nb"),
        "accelerator: name must be 1 to 64 letters, digits, '_' or '-', starting with a letter, not 'a\\nb'",
    ),
    "image is a text": (
        put("image", to="image.bin"),
        "image: must be an object with the keys size, sha256, not 'image.bin'",
    ),
    "image without a hash": (drop("image", "sha256"), "image: sha256 must be given, not left out"),
    "image in another place": (
        put("image", "path", to="../secret"),
        "image: key must be one of size, sha256, not 'path'",
    ),
    "wrong size": (put("image", "size", to=193), "image.size: must be 192 as image.bin has, not 193"),
    "size is a float": (
        put("image", "size", to=192.0),
        "image.size: must be an integer from 0 to 1073741824, not 192.0",
    ),
    "size is a bool": (put("image", "size", to=True), "image.size: must be an integer from 0 to 1073741824, not True"),
    "huge size": (
        put("image", "size", to=2**63),
        "image.size: must be an integer from 0 to 1073741824, not 9223372036854775808",
    ),
    "hash is a number": (
        put("image", "sha256", to=0),
        f"image.sha256: must be {sha256(build().image)} as image.bin has, not 0",
    ),
    "address is a text": (put("address", to="64"), "address: must be an integer from 0 to 192, not '64'"),
    "address is a bool": (put("address", to=False), "address: must be an integer from 0 to 192, not False"),
    "negative address": (put("address", to=-32), "address: must be an integer from 0 to 192, not -32"),
    "address outside": (put("address", to=224), "address: must be an integer from 0 to 192, not 224"),
    "address not aligned": (
        put("address", to=65),
        f"instruction 0 at 0x41: opcode must be one of {OPCODES}, not 0",
    ),
    "no instructions": (put("length", to=0), "program: instructions must be at least 1, not 0"),
    "length is a float": (put("length", to=3.0), "length: must be an integer from 0 to 4, not 3.0"),
    "length outside": (put("length", to=5), "length: must be an integer from 0 to 4, not 5"),
    "length past the end": (
        put("length", to=4),
        f"instruction 3 at 0xa0: opcode must be one of {OPCODES}, not 0",
    ),
    "regions are an object": (put("regions", to={}), "regions: must be a list, not {}"),
    "region is a list": (
        put("regions", 1, to=["output"]),
        f"regions[1]: must be an object with the keys {REGION_KEYS}, not ['output']",
    ),
    "region without a size": (drop("regions", 1, "size"), "regions[1]: size must be given, not left out"),
    "region with an unknown key": (
        put("regions", 0, "adress", to=1),
        f"regions[0]: key must be one of {REGION_KEYS}, not 'adress'; did you mean 'address'?",
    ),
    "region outside": (put("regions", 1, "address", to=161), f"{OUTSIDE} (161, 32)"),
    "region of a huge size": (put("regions", 1, "size", to=2**63), f"{OUTSIDE} (32, 9223372036854775808)"),
    "region of a bool": (put("regions", 1, "size", to=True), f"{OUTSIDE} (32, True)"),
    "region twice": (put("regions", 1, "name", to="input"), "region input: name must be given once, not twice"),
    "region of a wrong access": (
        put("regions", 1, "access", to="w"),
        "region output: access must be one of program, read, write, not 'w'",
    ),
    "region's name has a newline": (
        put("regions", 1, "name", to="a\nb"),
        "region name must be 1 to 200 printable characters, not 'a\\nb'",
    ),
}


class TestWrongFolders:
    @pytest.mark.parametrize("case", WRONG_MANIFESTS)
    def test_wrong_manifest(self, case: str, folder: Path, refused: Refused) -> None:
        change, message = WRONG_MANIFESTS[case]
        path = folder / "program.json"
        manifest = json.loads(path.read_text())
        change(manifest)
        path.write_text(json.dumps(manifest))
        assert refused(FileError, load, folder) == f"{path}: {message}"

    @pytest.mark.parametrize("name", ["program.json", "image.bin"])
    def test_missing_file(self, name: str, folder: Path, refused: Refused) -> None:
        (folder / name).unlink()
        assert refused(FileError, load, folder) == f"{folder / name}: must be a file, but it does not exist"

    def test_missing_folder(self, tmp_path: Path, refused: Refused) -> None:
        expected = f"{tmp_path / 'no' / 'program.json'}: must be a file, but it does not exist"
        assert refused(FileError, load, tmp_path / "no") == expected

    def test_image_is_a_folder(self, folder: Path, refused: Refused) -> None:
        (folder / "image.bin").unlink()
        (folder / "image.bin").mkdir()
        assert refused(FileError, load, folder) == f"{folder / 'image.bin'}: must be a file, not a folder"

    def test_truncated_image(self, folder: Path, refused: Refused) -> None:
        path = folder / "image.bin"
        path.write_bytes(path.read_bytes()[:-1])
        expected = f"{folder / 'program.json'}: image.size: must be 191 as image.bin has, not 192"
        assert refused(FileError, load, folder) == expected

    @pytest.mark.parametrize("bit", [0, 8 * ADDRESS, 8 * 192 - 1])
    def test_one_changed_bit(self, bit: int, folder: Path, refused: Refused) -> None:
        path = folder / "image.bin"
        image = bytearray(path.read_bytes())
        image[bit // 8] ^= 1 << bit % 8
        path.write_bytes(image)
        message = refused(FileError, load, folder)
        assert message.startswith(f"{folder / 'program.json'}: image.sha256: must be {sha256(image)} as image.bin has")
        assert sha256(build().image)[:20] in message

    @pytest.mark.parametrize(
        ("offset", "value", "problem"),
        [
            (ADDRESS, 14, "instruction 0 at 0x40: opcode must be one of"),
            (ADDRESS + 1, 64, f"instruction 0 at 0x40: LOAD.wait must name only {UNITS}, not the mask 64"),
            (ADDRESS + 12, 0, "instruction 0 at 0x40: LOAD.segments must be an integer from 1 to 65535, not 0"),
            (ADDRESS + 31, 1, "instruction 0 at 0x40: LOAD must have its unused bits at 0, not "),
            (ADDRESS + 64, 0, "instruction 2 at 0x80: opcode must be one of"),
        ],
    )
    def test_undecodable_instruction(
        self, offset: int, value: int, problem: str, folder: Path, refused: Refused
    ) -> None:
        image = bytearray((folder / "image.bin").read_bytes())
        image[offset] = value
        (folder / "image.bin").write_bytes(image)
        path = folder / "program.json"
        manifest = json.loads(path.read_text())
        manifest["image"]["sha256"] = sha256(image)
        path.write_text(json.dumps(manifest))
        assert refused(FileError, load, folder).startswith(f"{path}: {problem}")

    @pytest.mark.parametrize(
        ("old", "new", "problem"),
        [
            ('"address": 64', '"address": 64, "address": 64', "the key 'address' stands twice"),
            ('"address": 64', '"address": NaN', "NaN is not a JSON number"),
            ('"address": 64', '"address": 64,,', "Expecting property name enclosed in double quotes"),
            ('"address": 64', f'"address": {"9" * 5000}', "Exceeds the limit (4300 digits)"),
            ('"address": 64', f'"address": {"[" * 10**5}', "nesting must be at most 16 deep"),
            ('"address": 64', '"address": 64.0.0', "Expecting ',' delimiter"),
            ("{", "\ufeff{", "Unexpected UTF-8 BOM (decode using utf-8-sig)"),
        ],
    )
    def test_wrong_json(self, old: str, new: str, problem: str, folder: Path, refused: Refused) -> None:
        path = folder / "program.json"
        text = path.read_text()
        position = text.rindex(old) if old != "{" else 0
        path.write_text(text[:position] + new + text[position + len(old) :], encoding="utf-8")
        assert refused(FileError, load, folder).startswith(f"{path}: must be strict JSON: {problem}")

    def test_huge_number(self, folder: Path, refused: Refused) -> None:
        path = folder / "program.json"
        path.write_text(path.read_text().replace('"length": 3', f'"length": {"9" * 4000}'))
        expected = f"{path}: length: must be an integer from 0 to 4, not a number of 13288 bits"
        assert refused(FileError, load, folder) == expected

    def test_every_cut_of_the_manifest(self, folder: Path, refused: Refused) -> None:
        path = folder / "program.json"
        data = path.read_bytes().rstrip()
        for length in range(len(data)):
            path.write_bytes(data[:length])
            assert refused(FileError, load, folder).startswith(f"{path}: must be strict JSON: ")


def test_accelerator_from_dict() -> None:
    accelerator = Accelerator(name="x", rows=8, counters=False)
    assert accelerator_from_dict(accelerator.to_dict()) == accelerator
    with pytest.raises(AcceleratorError, match=r"^must be an object with the keys format, name, array, .*, not None$"):
        accelerator_from_dict(None)
