"""What pyproject.toml cannot say: `rules/b2b`, which lies beside the package, is installed inside it."""

from setuptools import find_packages, setup

BUILT_IN_RULES = "scorer._rulesets.b2b"

setup(
    packages=[*find_packages(include=["scorer", "scorer.*"]), BUILT_IN_RULES],
    package_dir={BUILT_IN_RULES: "rules/b2b"},
    package_data={
        "scorer": ["py.typed", "report/templates/*.j2", "sources/company/*.yaml", "sources/platforms/*.yaml"],
        BUILT_IN_RULES: ["*.yaml"],
    },
)
