"""The Streamlit app: pages and widgets, nothing else."""
