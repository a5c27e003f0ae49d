"""Makes NWB recordings out of nothing: one like MC_Maze_Small, and one whose data name themselves.

Neither holds anything of a real recording, and both say that they are synthetic.
"""

from phantomlink.recordings.synthetic.command import run_synth, synthesize
from phantomlink.recordings.synthetic.named import NamedLayout, synthesize_named
from phantomlink.recordings.synthetic.recording import SyntheticRecording, draw_recording

__all__ = [
    "NamedLayout",
    "SyntheticRecording",
    "draw_recording",
    "run_synth",
    "synthesize",
    "synthesize_named",
]
