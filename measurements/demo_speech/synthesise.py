"""Makes the demo speech anew: ``python measurements/demo_speech/synthesise.py``.

Needs the free synthesisers flite (CMU, voices awb, rms and slt) and espeak-ng on
the path. Sentences are from books in the public domain; each is spoken by one
voice at one speed and mixed with pink noise at one signal-to-noise ratio.
"""

from __future__ import annotations

import csv
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

Samples = NDArray[np.float64]

HERE = Path(__file__).parent
RATE = 16_000
LEVEL_DB = -26.0

VOICES = ["flite:slt", "flite:rms", "flite:awb", "flite:slt", "flite:rms", "espeak:en-us"]
SPEEDS = [1.0, 0.85, 0.9, 1.1, 0.95]
NOISE_DB = [40, 25, 15, 30]

# Lewis Carroll, Alice's Adventures in Wonderland (1865); Jane Austen, Pride and
# Prejudice (1813); Herman Melville, Moby-Dick (1851); Charles Dickens, A Tale of
# Two Cities (1859); Arthur Conan Doyle, The Adventures of Sherlock Holmes (1892);
# Mary Shelley, Frankenstein (1818); Robert Louis Stevenson, Treasure Island (1883).
SENTENCES = """
Alice was beginning to get very tired of sitting by her sister on the bank.
There was nothing so very remarkable in that.
Would the fall never come to an end?
It was all very well to say drink me, but the wise little girl was not going to do that in a hurry.
What a curious feeling, said Alice.
Why is a raven like a writing desk?
Begin at the beginning, and go on until you come to the end, then stop.
We're all mad here. I'm mad. You're mad.
It is a truth universally acknowledged that a single man in possession of a good fortune must be in want of a wife.
She is tolerable, but not handsome enough to tempt me.
I could easily forgive his pride, if he had not mortified mine.
There are few people whom I really love, and still fewer of whom I think well.
An unhappy alternative is before you, Elizabeth.
You must allow me to tell you how ardently I admire and love you.
What are men to rocks and mountains?
Some years ago, never mind how long, I thought I would sail about a little.
It is not down on any map. True places never are.
Better sleep with a sober cannibal than a drunken Christian.
Whenever it is a damp, drizzly November in my soul, I account it high time to get to sea as soon as I can.
As for me, I am tormented with an everlasting itch for things remote.
It was the best of times, it was the worst of times.
A wonderful fact to reflect upon, that every human creature is constituted to be that profound secret and mystery to every other.
It is a far, far better thing that I do, than I have ever done.
Nothing that we do, is done in vain.
To Sherlock Holmes she is always the woman.
You see, but you do not observe. The distinction is clear.
It is a capital mistake to theorize before one has data.
My name is Sherlock Holmes. It is my business to know what other people do not know.
There is nothing more deceptive than an obvious fact.
The little things are infinitely the most important.
I had called upon my friend one day in the autumn of last year.
Nothing is so painful to the human mind as a great and sudden change.
Beware, for I am fearless, and therefore powerful.
It was on a dreary night of November that I beheld the accomplishment of my toils.
I was benevolent and good. Misery made me a fiend.
Fifteen men on the dead man's chest.
I remember him as if it were yesterday, as he came plodding to the inn door.
The captain had been struck dead by thundering apoplexy.
Them that die will be the lucky ones.
We must go on, because we can't turn back.
""".strip().splitlines()


def main() -> None:
    """Writes ``audio/*.flac``, ``manifest.csv`` and ``conditions.csv``."""
    rng = np.random.default_rng(0)
    (HERE / "audio").mkdir(exist_ok=True)
    rows = []
    for index, text in enumerate(SENTENCES):
        voice = VOICES[index % len(VOICES)]
        speed = SPEEDS[index % len(SPEEDS)]
        noise_db = NOISE_DB[index % len(NOISE_DB)]
        waveform = _with_noise(_speak(text, voice, speed), noise_db, rng)
        file = f"audio/{index:02d}.flac"
        soundfile.write(HERE / file, waveform, RATE, subtype="PCM_16")
        rows.append((f"{index:02d}", file, text, voice, speed, noise_db))
    _write("manifest.csv", ("id", "audio", "text", "speaker"), [row[:4] for row in rows])
    _write("conditions.csv", ("id", "speed", "snr_db"), [(row[0], *row[4:]) for row in rows])


def _write(name: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with (HERE / name).open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _speak(text: str, voice: str, speed: float) -> Samples:
    engine, _, name = voice.partition(":")
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        if engine == "flite":
            stretch = f"duration_stretch={1 / speed:.3f}"
            command = ["flite", "-voice", name, "--setf", stretch, "-t", text, "-o", file.name]
        else:
            command = ["espeak-ng", "-v", name, "-s", f"{165 * speed:.0f}", "-w", file.name, text]
        subprocess.run(command, check=True)
        samples, rate = soundfile.read(file.name)
    samples = resample_poly(samples, RATE, rate)
    samples = np.concatenate([np.zeros(RATE // 5), samples, np.zeros(RATE // 5)])
    levelled: Samples = samples * 10 ** (LEVEL_DB / 20) / np.sqrt(np.mean(samples**2))
    return levelled


def _with_noise(waveform: Samples, snr_db: float, rng: np.random.Generator) -> Samples:
    spectrum = np.fft.rfft(rng.standard_normal(len(waveform)))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum, len(waveform))
    gain = 10 ** ((LEVEL_DB - snr_db) / 20) / np.sqrt(np.mean(noise**2))
    noisy: Samples = np.clip(waveform + gain * noise, -1, 1)
    return noisy


if __name__ == "__main__":
    main()
