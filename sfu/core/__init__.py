"""Words shared by everything: ids, units, errors, time, codecs. Imports nothing of ours."""
