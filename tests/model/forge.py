"""A network file that tests can change and seal again."""

import hashlib
import json


class Forge:
    """A network file taken apart, to be changed and put together again with lengths and hashes that agree."""

    def __init__(self, data):
        length = int.from_bytes(data[:8], "little")
        self.header = json.loads(data[8 : 8 + length])
        self.metadata = self.header["__metadata__"]
        self.manifest = json.loads(self.metadata["manifest"])
        self.data = bytearray(data[8 + length :])

    def tensor(self, name):
        """Return the bytes of a tensor as a view that can be written."""
        begin, end = self.header[name]["data_offsets"]
        return memoryview(self.data)[begin:end]

    def rehash(self):
        """Make the manifest agree with the tensors."""
        names = [name for name in self.header if name != "__metadata__"]
        self.manifest["tensors"] = {name: hashlib.sha256(self.tensor(name)).hexdigest() for name in names}

    def seal(self, text=None):
        """Make the metadata agree with the manifest, or with a text in its place."""
        self.metadata["manifest"] = json.dumps(self.manifest) if text is None else text
        digest = hashlib.sha256(self.metadata["manifest"].encode("utf-8", "surrogatepass")).hexdigest()
        self.metadata["manifest_sha256"] = digest

    def build(self, text=None):
        """Return the file, its header being the given text if there is one."""
        raw = (json.dumps(self.header) if text is None else text).encode("utf-8", "surrogatepass")
        return len(raw).to_bytes(8, "little") + raw + bytes(self.data)
