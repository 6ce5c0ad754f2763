"""Names and addresses of the data plane, and what is written into a Pod's files."""

import ipaddress
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from testbed.bed import MAX_MEMBERS, required_components
from testbed.dataplane import cluster, names
from testbed.dataplane.capabilities import PROGRAMS, install_programs, missing_capabilities

UID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"


def plan(index: int = 1, *, dual_stack: bool = False) -> names.NodePlan:
    return names.NodePlan(
        member=f"member{index}",
        index=index,
        bed="0123abcd",
        pod_cidr=f"10.{80 + index}.0.0/16",
        service_cidr=f"10.{160 + index}.0.0/16",
        dual_stack=dual_stack,
    )


def test_a_bed_has_an_id_of_its_own_that_follows_from_its_directory(tmp_path):
    one, other = names.bed_id(tmp_path / "a"), names.bed_id(tmp_path / "b")
    assert one != other
    assert names.bed_id(tmp_path / "x" / ".." / "a") == one


def test_a_namespace_tells_whose_it_is_and_others_are_nobodys():
    assert names.bed_of(names.hub_namespace("0123abcd")) == "0123abcd"
    assert names.bed_of(plan().namespace) == "0123abcd"
    assert names.bed_of(plan().pod_namespace("default", "web-0", UID)) == "0123abcd"
    for foreign in ("mcs-trial-1", "cni-0123abcd", "mcs-0123abcd", "mcs-XYZ.hub", "my-mcs-0123abcd.hub"):
        assert names.bed_of(foreign) is None


def test_pods_are_found_by_their_full_name_or_by_the_beginning_of_it():
    there = [
        plan().pod_namespace("default", "curl-5d9-x", UID),
        plan().pod_namespace("default", "curly-1", UID),
        plan().pod_namespace("default", "web-0", UID),
        plan().pod_namespace("other", "curl-elsewhere", UID),
        plan(2).pod_namespace("default", "curl-far", UID),
        "somebody-elses",
    ]
    pods = names.pods_among(there, "0123abcd", "member1", "default")
    assert sorted(pods) == ["curl-5d9-x", "curly-1", "web-0"]
    assert pods["web-0"] == there[2]
    assert names.choose_pod(pods, "curl") == "curl-5d9-x"
    assert names.choose_pod(pods, "web-0") == "web-0"
    assert names.choose_pod(pods, "web-") is None
    assert names.choose_pod(["a-b", "a"], "a") == "a"


def test_names_fit_where_the_kernel_and_the_file_system_want_them():
    longest = plan().pod_namespace("n" * 63, "p" * 253, UID)
    assert len(longest) < 255
    assert len(names.pod_link(UID)) <= 15
    pods = names.pods_among([longest], "0123abcd", "member1", "n" * 63)
    assert names.choose_pod(pods, "p" * 253) is not None


def test_no_two_ranges_of_a_full_bed_overlap():
    plans = [plan(index) for index in range(1, MAX_MEMBERS + 1)]
    ranges = [str(names.NODES), *(cidr for each in plans for cidr in (each.pod_cidr, each.service_cidr))]
    for family in (ranges, map(names.ipv6_of, ranges)):
        assert not any(one.overlaps(other) for one, other in combinations(map(ipaddress.ip_network, family), 2))
    assert len({each.address for each in plans}) == MAX_MEMBERS


@pytest.mark.parametrize(
    ("v4", "v6"),
    [("10.81.1.2", "fd00:10:81::102"), ("10.79.0.1", "fd00:10:79::1"), ("10.161.0.0/16", "fd00:10:161::/112")],
)
def test_with_dual_stack_an_ipv6_address_is_beside_each_address_and_each_range(v4: str, v6: str):
    assert plan(dual_stack=True).families(v4) == [v4, v6]
    assert plan().families(v4) == [v4]


def test_the_ipv6_address_of_an_address_in_a_range_is_in_the_ipv6_range():
    for address in ipaddress.ip_network("10.81.255.0/24"):
        assert ipaddress.ip_address(names.ipv6_of(str(address))) in ipaddress.ip_network(names.ipv6_of("10.81.0.0/16"))


def test_a_pod_is_told_to_ask_its_own_cluster_for_names_in_its_own_namespace_first():
    assert names.resolv_conf(plan().dns, "shop") == (
        "search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.161.0.10\noptions ndots:5\n"
    )
    assert names.hosts_file("web-0", "10.81.1.0") == "127.0.0.1\tlocalhost\n10.81.1.0\tweb-0\n"
    assert names.hosts_file("web-0", "10.81.1.0", "fd00:10:81::100").endswith("\nfd00:10:81::100\tweb-0\n")


def test_kube_proxy_leaves_the_machines_own_settings_alone():
    config = yaml.safe_load(cluster.proxy_config(plan(), Path("/x/kubeconfig")))
    assert config["mode"] == "nftables"
    assert config["hostnameOverride"] == "member1-node"
    assert config["clusterCIDR"] == "10.81.0.0/16"
    both = yaml.safe_load(cluster.proxy_config(plan(dual_stack=True), Path("/x/kubeconfig")))
    assert both["clusterCIDR"] == "10.81.0.0/16,fd00:10:81::/112"
    assert config["nodePortAddresses"] == ["127.0.0.0/8"]
    assert config["conntrack"] == {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}


def test_the_dns_is_reached_over_a_service_whose_slice_names_the_node():
    by_kind = {each["kind"]: each for each in cluster.dns_manifests(plan())}
    assert by_kind["Service"]["spec"]["clusterIP"] == "10.161.0.10"
    assert by_kind["EndpointSlice"]["endpoints"][0]["addresses"] == ["10.79.0.1"]
    assert "bind 10.79.0.1" in cluster.corefile(plan(), Path("/x/kubeconfig"))
    assert "forward" not in cluster.corefile(plan(), Path("/x/kubeconfig"))


def test_only_a_data_plane_needs_its_components():
    assert required_components() == ["etcd", "kube-apiserver", "kube-controller-manager"]
    further = ["kube-proxy", "coredns", "kubelet-streaming"]
    assert required_components(dataplane=True) == [*required_components(), *further]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_missing_program_is_named_with_its_package(program):
    absent = missing_capabilities(which=lambda name: None if name == program else f"/bin/{name}", uid=lambda: 0)
    assert absent == [f"the program `{program}`: `apt-get install {PROGRAMS[program]}`"]


def test_somebody_who_is_not_root_is_told_so():
    (absent,) = missing_capabilities(which=lambda name: f"/bin/{name}", uid=lambda: 1000)
    assert "run it as root" in absent


@pytest.mark.parametrize(
    ("root", "there", "fails", "runs", "last"),
    [
        (True, {"apt-get", "unshare", "curl"}, "", 2, "apt-get install --yes"),
        (True, {"apt-get", "unshare", "curl"}, "update", 1, "apt-get update failed: no network"),
        (True, {"unshare", "curl"}, "", 0, ""),
        (False, {"apt-get", "unshare", "curl"}, "", 0, ""),
        (True, {"apt-get", *PROGRAMS}, "", 0, ""),
    ],
    ids=["installed", "no network", "no apt-get", "not root", "all there"],
)
def test_missing_programs_are_installed_where_that_is_possible(root, there, fails, runs, last):
    said: list[str] = []
    ran: list[tuple[str, ...]] = []

    def run(*command: str) -> str:
        ran.append(command)
        return "no network" if fails and fails in command else ""

    install_programs(said.append, which=lambda name: name if name in there else None, uid=lambda: 1 - root, run=run)
    assert len(ran) == runs
    assert (last in said[-1]) if last else not said
    assert not ran or said[0].endswith("iproute2 nftables")
