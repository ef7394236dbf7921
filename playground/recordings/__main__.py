"""Makes all recordings anew."""

from playground import recordings
from playground.shell import RECORDED

if __name__ == "__main__":
    for page in RECORDED:
        for name, recording in page.record().items():
            recordings.save(name, recording)
            print(name)
