"""The frozen-feature cache: what a frozen encoder says of a signal is computed once and kept.

Key of an entry: SHA-256 over the encoder's weights and settings, the modality's options, tokenizer
and own code, the file's bytes and the number of views. Entries lie in safetensors shards that are
written whole and renamed, so an interrupted filling goes on where it stopped; their checksums are
read again at the start, and damaged ones removed. Stale entries are never met: their keys differ.
Out: features [views, F, E]; view 0 is the signal itself, the others are augmented.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from polysense.atomic_write import remove_unfinished, replacing
from polysense.data.loading.prefetch import Prefetcher
from polysense.errors import PolysenseError
from polysense.modalities.custom import code_of
from polysense.modalities.read_signal import read_signal
from polysense.modalities.sources.file_parts import content_digest
from polysense.model.encoders.base import weights_hash
from polysense.model.polysense_model import PolysenseModel
from polysense.types import Media

SHARD = 256
CHECKSUM = "crc32"
ABANDONED = 3600.0  # seconds after which nobody still writes a shard: other runs share the folder
READERS = max(2, (os.cpu_count() or 2) // 2)  # threads that decode while the encoder sees


class FeatureCache:
    """Features of media, by memory map. `fill` first, then `view`.

    Of modalities in `live`, whose tokenizer learns, the signals themselves are kept in place of
    features: decoding, resampling and sampling of points are done once for them too. Where there
    are `views` at all, each drawing of such a signal is augmented anew.
    """

    def __init__(
        self, folder: Path, model: PolysenseModel, views: int, live: Container[str] = ()
    ) -> None:
        self.folder = folder
        self.encoded = frozenset(name for name in model.modalities if name not in live)
        self.model = model
        self.count = views
        folder.mkdir(parents=True, exist_ok=True)
        remove_unfinished(folder, ABANDONED)
        self._fingerprint = model.encoder.fingerprint()
        self._keys: dict[Media, str] = {}
        self._readings: dict[str, list[str]] = {}
        self._shards: dict[str, Path] = {}
        self._open: dict[Path, safe_open] = {}
        for path in sorted(folder.glob("features-*.safetensors")):
            if is_whole(path):
                self._index(path)
            else:
                # Its entries are computed anew; another process may have removed it already.
                path.unlink(missing_ok=True)

    def _index(self, path: Path) -> None:
        shard = safe_open(path, framework="pt")
        self._open[path] = shard
        self._shards.update(dict.fromkeys(shard.keys(), path))

    def key(self, media: Media) -> str:
        """Return the key of a signal's entry; reads its bytes once, wherever they lie."""
        if media not in self._keys:
            digest = content_digest(media.source)
            options = vars(self.model.modalities[media.modality])
            settings = [*self._reading(media.modality), media.modality, options, self.count]
            digest.update(json.dumps(settings, sort_keys=True).encode())
            self._keys[media] = digest.hexdigest()[:32]
        return self._keys[media]

    def _reading(self, modality: str) -> list[str]:
        """Return hashes of what decides a modality's entries: encoder, tokenizer, a user's file.

        Signals of a modality whose tokenizer learns come before the first two.
        """
        if modality not in self._readings:
            made_by = ["signal"]
            if modality in self.encoded:
                tokenizer = self.model.tokenizers[modality]
                made_by = [self._fingerprint]
                made_by += [weights_hash(tokenizer)] if tokenizer.state_dict() else []
            code = code_of(type(self.model.modalities[modality]))
            self._readings[modality] = [*made_by, *([code] if code else [])]
        return self._readings[modality]

    def fill(
        self, media: Sequence[Media], advance: Callable[[int], None] = lambda _: None
    ) -> dict[Media, str]:
        """Compute what is missing; return {media: reason} of those that cannot be read."""
        bad: dict[Media, str] = {}
        pending: dict[str, torch.Tensor] = {}
        wanted = list(dict.fromkeys(media))
        # Where the encoder has all the cores, threads beside it cost more than they save.
        depth = 0 if self.model.device.type == "cpu" else 4 * READERS
        with Prefetcher(self._read, iter(wanted), depth, READERS) as signals:
            for item in wanted:
                try:
                    views = next(signals)
                    if views is not None and self.key(item) not in pending:
                        pending[self.key(item)] = self._entry(item, views)
                except PolysenseError as error:
                    bad[item] = str(error)
                if len(pending) >= SHARD:
                    self._write(pending)
                    pending = {}
                advance(1)
        if pending:
            self._write(pending)
        return bad

    def _read(self, media: Media) -> torch.Tensor | None:
        """Return what an entry is made of, its views or the signal; None where it is there."""
        if self.key(media) in self._shards:
            return None
        signal = read_signal(self.model.modalities[media.modality], media.source)
        if media.modality not in self.encoded:
            return signal
        views = [signal, *(self._augmented(media, signal, n) for n in range(1, self.count))]
        return torch.stack(views)

    @torch.inference_mode()
    def _entry(self, media: Media, read: torch.Tensor) -> torch.Tensor:
        if media.modality not in self.encoded:
            return read
        features = self.model.extract_features(media.modality, read.to(self.model.device))
        return features.to(torch.float16).cpu()

    def _augmented(self, media: Media, signal: torch.Tensor, number: int) -> torch.Tensor:
        """Return view `number` of a signal, the same at every call."""
        seed = int(hashlib.sha256(f"{self.key(media)} {number}".encode()).hexdigest()[:15], 16)
        modality = self.model.modalities[media.modality]
        return modality.augment(signal, torch.Generator().manual_seed(seed))

    def _write(self, entries: dict[str, torch.Tensor]) -> None:
        name = hashlib.sha256("".join(entries).encode()).hexdigest()[:16]
        path = self.folder / f"features-{name}.safetensors"
        with replacing(path) as scratch:
            tensors = {key: entries[key].contiguous() for key in sorted(entries)}
            save_file(tensors, scratch, {CHECKSUM: checksum(tensors.values())})
        self._index(path)

    def view(self, media: Media, number: int) -> torch.Tensor:
        """Return the features [F, E], or the signal, of one view of a filled signal, in fp32."""
        key = self.key(media)
        shard = self._open[self._shards[key]]
        if media.modality in self.encoded:
            # Of all the views that lie together only the one is read.
            return shard.get_slice(key)[number % self.count].float()
        signal = shard.get_tensor(key).float()
        plain = number == 0 or self.count == 1
        return signal if plain else self._augmented(media, signal, number)

    def by_modality(self, media: Iterable[Media], number: int) -> dict[str, list[torch.Tensor]]:
        """Return {modality: its signals or features, of one view}, in the order given."""
        found: dict[str, list[torch.Tensor]] = {}
        for item in media:
            found.setdefault(item.modality, []).append(self.view(item, number))
        return found


def is_whole(path: Path) -> bool:
    """Whether a shard can be read and its entries have the checksum noted with them."""
    try:
        shard = safe_open(path, framework="pt")
        found = checksum(shard.get_tensor(key) for key in sorted(shard.keys()))
        return (shard.metadata() or {}).get(CHECKSUM) == found
    except (SafetensorError, OSError):
        return False


def checksum(tensors: Iterable[torch.Tensor]) -> str:
    """Return CRC-32 over the bytes of tensors, in their order."""
    value = 0
    for tensor in tensors:
        value = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, value)
    return f"{value:08x}"


def media_of(samples: Iterable) -> list[Media]:
    """Return every signal of some samples or records, once each."""
    return list(dict.fromkeys(item for sample in samples for item in sample.media))
