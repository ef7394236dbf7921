"""What the browser shows: gradio and our own components. Holds no mathematics of a model."""
