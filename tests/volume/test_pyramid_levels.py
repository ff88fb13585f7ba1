from asem.volume.pyramid_levels import plan_pyramid


def test_anisotropic_voxels_become_isotropic_on_the_way_down():
    levels = plan_pyramid((20, 1024, 1000), (50.0, 4.6, 4.6), (0.0, 0.0, 0.0))
    assert [level.factors for level in levels[1:]] == [(1, 2, 2)] * 3 + [(2, 2, 2)]
    assert [level.shape[2] for level in levels] == [1000, 500, 250, 125, 63]
    finer = plan_pyramid((200, 1024, 1000), (30.0, 4.6, 4.6), (0.0, 0.0, 0.0))
    assert [level.factors for level in finer[1:]] == [(1, 2, 2)] * 2 + [(2, 2, 2)] * 2


def test_each_level_states_its_half_voxel_shift():
    levels = plan_pyramid((200, 200, 200), (5.0, 5.0, 5.0), (100.0, 0.0, -3.0))
    assert [level.offset_nm for level in levels] == [
        (100.0, 0.0, -3.0),
        (102.5, 2.5, -0.5),
        (107.5, 7.5, 4.5),
    ]


def test_an_axis_of_one_voxel_stops_no_other():
    levels = plan_pyramid((1, 1000, 1000), (5.0, 5.0, 5.0), (0.0, 0.0, 0.0))
    assert [level.shape for level in levels][-1] == (1, 63, 63)
    thin = plan_pyramid((3, 1000, 1000), (5.0, 5.0, 5.0), (0.0, 0.0, 0.0))
    assert [level.shape for level in thin][-1] == (1, 63, 63)
