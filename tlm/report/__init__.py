"""What a run leaves for people and programs: summary, result file, timeline, plots."""
