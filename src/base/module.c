/* module.c - the extension module: sets up one room after the other.
 *
 * Each room has one function that makes its types and adds its public names;
 * a room may rely on those before it in the table.
 */
#include "base/await.h"
#include "base/ouro.h"
#include "base/rooms.h"

typedef int (*setup_function)(PyObject *module, ouro_state *st);

static const setup_function rooms[] = {
    ouro_state_init,
    ouro_await_setup,
    /* task */
    ouro_task_stock_setup,
    ouro_future_setup,
    ouro_task_setup,
    ouro_registry_setup,
    ouro_running_setup,
    ouro_deadline_setup,
    ouro_sleep_setup,
    ouro_wait_setup,
    ouro_ensure_setup,
    ouro_gather_setup,
    ouro_timeout_setup,
    ouro_waitfor_setup,
    ouro_shield_setup,
    ouro_group_setup,
    ouro_copystate_setup,
    ouro_chain_setup,
    ouro_coroutines_setup,
    ouro_threads_setup,
    ouro_completed_setup,
    ouro_awaited_setup,
    ouro_graph_setup,
    ouro_factory_setup,
    ouro_control_setup,
    ouro_register_setup,
    /* loop */
    ouro_loop_setup,
    ouro_server_setup,
    ouro_accept_setup,
    ouro_listener_setup,
    ouro_socketcalls_setup,
    ouro_dns_setup,
    ouro_connect_setup,
    ouro_connectsock_setup,
    ouro_create_server_setup,
    ouro_tls_setup,
    ouro_unix_setup,
    ouro_datagram_setup,
    ouro_sockwatch_setup,
    ouro_sockops_setup,
    ouro_sockconnect_setup,
    ouro_sock_sendfile_setup,
    ouro_policy_setup,
    ouro_runner_setup,
    /* sync */
    ouro_mixin_setup,
    ouro_lock_setup,
    ouro_event_setup,
    ouro_condition_setup,
    ouro_semaphore_setup,
    ouro_barrier_setup,
    ouro_queue_setup,
    /* net */
    ouro_trsock_setup,
    ouro_staggered_setup,
    ouro_tcp_setup,
    ouro_udp_setup,
    ouro_sendfile_setup,
    ouro_pipe_setup,
    ouro_pipe_connect_setup,
    ouro_tls_protocol_setup,
    ouro_subprocess_stock_setup,
    ouro_subprocess_setup,
    ouro_subprocess_pipes_setup,
    ouro_subprocess_start_setup,
    ouro_borrow_setup, /* after all that adds methods to the loop */
    /* streams */
    ouro_streams_setup,
    ouro_reader_setup,
    ouro_flow_setup,
    ouro_stream_protocol_setup,
    ouro_writer_setup,
    ouro_open_setup,
    ouro_subprocess_protocol_setup,
    ouro_process_setup,
    ouro_process_create_setup,
};

static int
module_exec(PyObject *module)
{
    ouro_state *st = ouro_module_state(module);
    for (size_t i = 0; i < Py_ARRAY_LENGTH(rooms); i++) {
        if (rooms[i](module, st) < 0) {
            return -1;
        }
    }
    return 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    return ouro_state_traverse(ouro_module_state(module), visit, arg);
}

static int
module_clear(PyObject *module)
{
    ouro_state_clear(ouro_module_state(module));
    return 0;
}

static void
module_free(void *module)
{
    ouro_state_free(ouro_module_state((PyObject *)module));
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

PyDoc_STRVAR(module_doc, "The whole of asyncio, in C.");

PyModuleDef ouro_module_def = {
    PyModuleDef_HEAD_INIT,   .m_name = "ouro._ouro",
    .m_doc = module_doc,     .m_size = sizeof(ouro_state),
    .m_slots = module_slots, .m_traverse = module_traverse,
    .m_clear = module_clear, .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__ouro(void)
{
    return PyModuleDef_Init(&ouro_module_def);
}
