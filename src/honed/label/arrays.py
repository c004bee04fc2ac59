"""The arrays that labelling works on. Records and classes are numbers, in the order of the data."""

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float64]
"""Of classes, mostly ``(n_records, n_classes)``: rows sum to 1."""

Classes = npt.NDArray[np.int64]
"""A class number for each record, -1 where it is not known."""

Votes = npt.NDArray[np.int16]
"""Class numbers ``(n_records, n_rules)``, -1 where a rule does not vote."""
