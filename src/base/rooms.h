/* rooms.h - the set-up function of each room, in the order of the rooms. */
#ifndef OURO_ROOMS_H
#define OURO_ROOMS_H

#include "base/state.h"

/* task */
int ouro_task_stock_setup(PyObject *module, ouro_state *st);
int ouro_future_setup(PyObject *module, ouro_state *st);
int ouro_task_setup(PyObject *module, ouro_state *st);
int ouro_registry_setup(PyObject *module, ouro_state *st);
int ouro_running_setup(PyObject *module, ouro_state *st);
int ouro_deadline_setup(PyObject *module, ouro_state *st);
int ouro_wait_setup(PyObject *module, ouro_state *st);
int ouro_sleep_setup(PyObject *module, ouro_state *st);
int ouro_ensure_setup(PyObject *module, ouro_state *st);
int ouro_gather_setup(PyObject *module, ouro_state *st);
int ouro_timeout_setup(PyObject *module, ouro_state *st);
int ouro_waitfor_setup(PyObject *module, ouro_state *st);
int ouro_shield_setup(PyObject *module, ouro_state *st);
int ouro_group_setup(PyObject *module, ouro_state *st);
int ouro_copystate_setup(PyObject *module, ouro_state *st);
int ouro_chain_setup(PyObject *module, ouro_state *st);
int ouro_coroutines_setup(PyObject *module, ouro_state *st);
int ouro_threads_setup(PyObject *module, ouro_state *st);
int ouro_awaited_setup(PyObject *module, ouro_state *st);
int ouro_graph_setup(PyObject *module, ouro_state *st);
int ouro_completed_setup(PyObject *module, ouro_state *st);
int ouro_factory_setup(PyObject *module, ouro_state *st);
int ouro_control_setup(PyObject *module, ouro_state *st);
int ouro_register_setup(PyObject *module, ouro_state *st);
/* loop */
int ouro_loop_setup(PyObject *module, ouro_state *st);
int ouro_server_setup(PyObject *module, ouro_state *st);
int ouro_accept_setup(PyObject *module, ouro_state *st);
int ouro_listener_setup(PyObject *module, ouro_state *st);
int ouro_socketcalls_setup(PyObject *module, ouro_state *st);
int ouro_dns_setup(PyObject *module, ouro_state *st);
int ouro_connect_setup(PyObject *module, ouro_state *st);
int ouro_connectsock_setup(PyObject *module, ouro_state *st);
int ouro_create_server_setup(PyObject *module, ouro_state *st);
int ouro_tls_setup(PyObject *module, ouro_state *st);
int ouro_borrow_setup(PyObject *module, ouro_state *st);
int ouro_unix_setup(PyObject *module, ouro_state *st);
int ouro_sockwatch_setup(PyObject *module, ouro_state *st);
int ouro_sockops_setup(PyObject *module, ouro_state *st);
int ouro_sockconnect_setup(PyObject *module, ouro_state *st);
int ouro_datagram_setup(PyObject *module, ouro_state *st);
int ouro_sock_sendfile_setup(PyObject *module, ouro_state *st);
int ouro_policy_setup(PyObject *module, ouro_state *st);
int ouro_runner_setup(PyObject *module, ouro_state *st);
/* sync */
int ouro_mixin_setup(PyObject *module, ouro_state *st);
int ouro_lock_setup(PyObject *module, ouro_state *st);
int ouro_event_setup(PyObject *module, ouro_state *st);
int ouro_condition_setup(PyObject *module, ouro_state *st);
int ouro_semaphore_setup(PyObject *module, ouro_state *st);
int ouro_barrier_setup(PyObject *module, ouro_state *st);
int ouro_queue_setup(PyObject *module, ouro_state *st);
/* net */
int ouro_tcp_setup(PyObject *module, ouro_state *st);
int ouro_staggered_setup(PyObject *module, ouro_state *st);
int ouro_trsock_setup(PyObject *module, ouro_state *st);
int ouro_udp_setup(PyObject *module, ouro_state *st);
int ouro_sendfile_setup(PyObject *module, ouro_state *st);
int ouro_pipe_setup(PyObject *module, ouro_state *st);
int ouro_pipe_connect_setup(PyObject *module, ouro_state *st);
int ouro_tls_protocol_setup(PyObject *module, ouro_state *st);
int ouro_subprocess_stock_setup(PyObject *module, ouro_state *st);
int ouro_subprocess_setup(PyObject *module, ouro_state *st);
int ouro_subprocess_pipes_setup(PyObject *module, ouro_state *st);
int ouro_subprocess_start_setup(PyObject *module, ouro_state *st);
/* streams */
int ouro_streams_setup(PyObject *module, ouro_state *st);
int ouro_reader_setup(PyObject *module, ouro_state *st);
int ouro_flow_setup(PyObject *module, ouro_state *st);
int ouro_stream_protocol_setup(PyObject *module, ouro_state *st);
int ouro_writer_setup(PyObject *module, ouro_state *st);
int ouro_open_setup(PyObject *module, ouro_state *st);
int ouro_subprocess_protocol_setup(PyObject *module, ouro_state *st);
int ouro_process_setup(PyObject *module, ouro_state *st);
int ouro_process_create_setup(PyObject *module, ouro_state *st);

#endif
