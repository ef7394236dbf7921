"""The entry point, for `python app.py`, `make run` and Hugging Face Spaces."""

from playground import shell

if __name__ == "__main__":
    shell.launch()
