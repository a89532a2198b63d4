"""What every process of ours needs: tasks, supervisor, logs, probes and metrics over HTTP."""
