"""Getting the files of catalogued datasets: resumed, checked, whole or not at all."""
