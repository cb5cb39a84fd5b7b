"""The run folder: what it holds, how a run is written into it (`fit`, `resume`) and read back (`load_run`)."""
