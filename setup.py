"""The part of the package that is compiled; everything else is in pyproject.toml."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "honed.index._kernel",
            ["src/honed/index/kernel.c"],
            extra_compile_args=["-O3", "-ffp-contract=off"],  # no fused products: the same sums on every CPU
            py_limited_api=True,
            optional=True,  # where there is no compiler, numpy does the same
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
